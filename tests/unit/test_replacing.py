"""Files that are replaced as a whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from flopgate_agent.replacing import replace_file


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_and_has_its_mode_whatever_the_umask(
    tmp_path: Path, *, durable: bool
) -> None:
    path = tmp_path / "file"
    umask = os.umask(0o077)
    try:
        for data in (b"one", b"two"):
            replace_file(path, data, mode=0o644, durable=durable)
            assert path.read_bytes() == data
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    path, aim = tmp_path / "file", tmp_path / "aim"
    aim.write_bytes(b"of somebody else")
    (tmp_path / ".file.new").symlink_to(aim)
    replace_file(path, b"ours")
    assert aim.read_bytes() == b"of somebody else"
    assert path.read_bytes() == b"ours"


def test_what_cannot_be_written_is_named_and_leaves_what_was_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    replace_file(path, b"before", durable=True)

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as error:
        replace_file(path, b"after", durable=True)
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["file"], "no draft takes room"
    monkeypatch.undo()
    replace_file(path, b"after", durable=True)
    assert path.read_bytes() == b"after"
