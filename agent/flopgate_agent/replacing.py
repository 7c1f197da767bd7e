"""Replaces a file as a whole: whoever reads it finds the one before or the new one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from flopgate_agent.private import PRIVATE_MODE
from flopgate_proto.errors import StorageError


def replace_file(
    path: Path, data: bytes, *, mode: int = PRIVATE_MODE, durable: bool = False
) -> None:
    """Write a draft beside it and rename that; ``OSError`` with a name where it cannot be done.

    Args:
        path: its folder exists.
        data: all of it.
        mode: as it is, whatever the umask.
        durable: it is on the disk when this returns (write, fsync, rename, fsync of the folder).
    """
    draft = path.with_name(f".{path.name}.new")
    # A draft that is left over may be a link that somebody else laid: it is not followed.
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        # Room is what is missing, perhaps.
        with suppress(OSError):
            draft.unlink()
        if error.filename is None:
            error.filename = os.fspath(path)
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def stamp(path: Path) -> tuple[int, int] | None:
    """Of the file that lies there: each that replaces it has another. ``None``: there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def keep_host_key(path: Path, data: bytes) -> None:
    """Make what stands for the host key durable: it is used for nothing before.

    Raises:
        StorageError: it cannot be kept.
    """
    try:
        replace_file(path, data, durable=True)
    except OSError as error:
        raise StorageError(
            f"the host key cannot be kept in {path}: {error.strerror}",
            code="key.disk",
            remedy="Make room under state_dir, or mend its disk, and start the gate again.",
        ) from error
