"""`flopgate-governor clock`: what is believed, and somebody who says that the clock is right."""

import json
from pathlib import Path

import pytest

from flopgate_governor import wiring
from flopgate_governor.announcement import only_server
from flopgate_governor.cli import main
from flopgate_governor.commands import clock
from flopgate_governor.files import Layout
from tests.support.governor import LocalGovernor
from tests.support.governor_clock import Clock
from tests.support.governor_folder import folder_of

DAY_MS = 86_400_000


@pytest.fixture
def leapt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Clock]:
    """A stopped governor, and its machine's clocks: the wall clock leapt by a day."""
    governor = LocalGovernor.make(Layout(tmp_path).store)
    for module in (wiring, clock):
        monkeypatch.setattr(module, "this_machine", governor.clock.machine)
    governor.clock.ahead_ms = DAY_MS
    return folder_of(tmp_path, governor), governor.clock


def test_it_tells_what_is_believed_and_believes_when_told(
    leapt: tuple[Path, Clock], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, machine = leapt

    def told(*options: str) -> object:
        assert main(["clock", "--dir", str(folder), "--json", *options]) == 0
        return json.loads(capsys.readouterr().out)

    wall_ms = machine()
    held = {"wall_unix_ms": wall_ms, "governor_unix_ms": wall_ms - DAY_MS}
    assert told() == held
    assert told("--believe") == held | {"governor_unix_ms": wall_ms}
    assert told() == held | {"governor_unix_ms": wall_ms}


def test_a_running_governor_is_not_told_behind_its_back(
    leapt: tuple[Path, Clock], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = leapt
    with only_server(Layout(folder)):
        assert main(["clock", "--dir", str(folder), "--believe"]) == 2
    assert "governor.running" in capsys.readouterr().err
