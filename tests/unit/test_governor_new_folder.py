"""Files that belong together come whole, or are begun anew; nobody else's is removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from flopgate_governor.files import Layout, replace_secret, write_secret
from flopgate_governor.new_folder import DRAFT, new_folder
from flopgate_proto.errors import ConfigError

SUPPORT = Path(__file__).parents[1] / "support"


class DiedError(Exception):
    """In the midst of it."""


def found(root: Path, *, dies: bool = False) -> None:
    with new_folder(root, Layout(root).names) as draft:
        layout = Layout(draft)
        write_secret(layout.config, b"name")
        write_secret(layout.permit_key, b"key")
        if dies:
            raise DiedError
        write_secret(layout.policy, b"policy")


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


WHOLE = {"governor.toml", "policy.toml", "keys/permit.pem"}


def test_a_founding_that_ended_midway_is_begun_anew(tmp_path: Path) -> None:
    root = tmp_path / "g"
    with pytest.raises(DiedError):
        found(root, dies=True)
    assert not Layout(root).config.exists()
    # As one leaves it that dies while it moves: the name of the authority is still in the draft.
    (root / DRAFT / "keys").rename(root / "keys")
    found(root)
    assert names(root) == WHOLE
    assert not (root / DRAFT).exists()
    with pytest.raises(ConfigError, match=r"directory\.exists"):
        found(root)


def test_a_file_of_somebody_else_in_it_stays(tmp_path: Path) -> None:
    root = tmp_path / "g"
    with pytest.raises(DiedError):
        found(root, dies=True)
    (root / "mine").write_text("x")
    with pytest.raises(ConfigError, match=r"directory\.exists"):
        found(root)
    assert "mine" in names(root)


def test_two_do_not_found_in_one_place(tmp_path: Path) -> None:
    with new_folder(tmp_path, Layout(tmp_path).names) as draft:
        write_secret(Layout(draft).config, b"name")
        with pytest.raises(ConfigError, match=r"file\.unwritable"):
            found(tmp_path)
    assert names(tmp_path) == {"governor.toml"}


def test_a_file_is_replaced_whole_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.draft"
    write_secret(path, b"old")
    replace_secret(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match=r"file\.exists"):
        write_secret(path, b"another")
    assert names(tmp_path) == {"a.draft"}


def test_a_sync_that_fails_is_told_and_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """Each in turn, by a real process: the next try finds room, and ends with all of it."""
    library = tmp_path / "sync.so"
    source = SUPPORT / "sync_preload.c"
    command = ["gcc", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.failed_syncs", tmp_path],
        env=os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": str(SUPPORT.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    failed = [json.loads(line) for line in done.stdout.splitlines()]
    wholes = {
        "found": ["", "/g", "/g/governor.toml", "/g/keys", "/g/keys/permit.pem"],
        "wrote": ["", "/token"],
        "replaced": ["", "/draft"],
    }
    for one in failed:
        whole = [f"below{name}" for name in wholes[one["act"]]]
        assert (one["code"], one["whole"]) == ("file.unwritable", whole)
        assert ("token" in one["left"], "draft" in one["left"]) == (False, one["act"] == "replaced")
    # Its folders, each file and each file's folder, and thrice where all is moved to its place.
    assert Counter(one["act"] for one in failed) == {"found": 10, "wrote": 3, "replaced": 2}
