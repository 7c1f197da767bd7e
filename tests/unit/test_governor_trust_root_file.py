"""Orders name their authority by a file: whoever would pause is told what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flopgate_governor.cli import main
from flopgate_governor.files import Layout
from flopgate_governor.wiring import load_authority_id
from flopgate_proto.codec import envelope_to_json
from tests.support.governor import LocalGovernor, delegation, signed
from tests.support.governor_folder import folder_of
from tests.support.governor_steps import seat_successors


@pytest.mark.parametrize("wrong", ["missing", "empty", "text", "cut", "order", "later"])
def test_law_6_the_file_of_the_first_trust_root_is_put_back_as_the_error_says(
    tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(tmp_path / "gov")
    layout.root.mkdir()
    governor = LocalGovernor.make(layout.store)
    seat_successors(governor)
    roots = governor.state.book.roots
    folder_of(layout.root, governor)
    path = layout.trust_root
    if wrong == "missing":
        path.unlink()
    else:
        path.write_text(
            {
                "empty": "",
                "text": "{}",
                "cut": path.read_text()[:-20],
                "order": envelope_to_json(signed(delegation())),
                "later": envelope_to_json(roots[1]),
            }[wrong]
        )
    where, draft = ("--dir", str(layout.root)), tmp_path / "pause.json"
    pause = ["pause", *where, "--scope", "everything", "--reason", "test", "--draft", str(draft)]
    assert main(pause) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert f"heads export --dir {layout.root}" in said
    heads = tmp_path / "heads.json"
    assert main(["heads", "export", *where, "--out", str(heads)]) == 0
    path.write_text(json.dumps(json.loads(heads.read_text())["orders"][0]))
    assert load_authority_id(layout) == roots[0].digest
    assert main(pause) == 0
