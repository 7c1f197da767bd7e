"""Files that belong together come whole, or are begun anew; nobody else's is removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopgate_governor.files import Layout, replace_secret, write_secret
from flopgate_governor.new_folder import DRAFT, new_folder
from flopgate_proto.errors import ConfigError


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
