"""A new folder of files that belong together: made whole, or begun anew after a death."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flopgate_governor.files import make_folder, sync_folder
from flopgate_proto.errors import ConfigError

DRAFT: Final = ".unfinished"


@contextmanager
def new_folder(root: Path, names: Sequence[str]) -> Iterator[Path]:
    """A folder in it that the block fills; then all is moved to its place.

    Args:
        root: new or empty; what was begun there and died is removed.
        names: all that the block may make. The last one it must: it is moved last, and without it
            nobody takes the folder for whole.

    Raises:
        ConfigError: it is in use, cannot be written, or somebody else makes it at this moment.
    """
    try:
        make_folder(root)
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Gone with the process, however that ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(root, names)
            draft = root / DRAFT
            draft.mkdir(mode=0o700)
            yield draft
            _settle(draft, root, names)
        finally:
            os.close(descriptor)
    except (FileExistsError, NotADirectoryError) as error:
        raise _in_use(root) from error
    except OSError as error:
        raise ConfigError(
            f"cannot make {root}: {error.strerror}",
            code="file.unwritable",
            remedy="Name a place that is yours to write to, and where nobody else is at work.",
        ) from error


def _clear(root: Path, names: Sequence[str]) -> None:
    """Make room where nothing is, or what never became whole."""
    found = {path.name for path in root.iterdir()}
    if not found:
        return
    if DRAFT not in found or names[-1] in found or not found <= {DRAFT, *names}:
        raise _in_use(root)
    # The draft last: it tells that this never was whole.
    for name in sorted(found, key=DRAFT.__eq__):
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _settle(draft: Path, root: Path, names: Sequence[str]) -> None:
    for name in names[:-1]:
        if (draft / name).exists():
            (draft / name).rename(root / name)
    sync_folder(root)
    (draft / names[-1]).rename(root / names[-1])
    try:
        sync_folder(root)
        # Its own name too, which may be of one who died before this.
        sync_folder(root.parent)
    except OSError:
        # Who is told that it failed begins anew.
        (root / names[-1]).rename(draft / names[-1])
        raise
    draft.rmdir()


def _in_use(root: Path) -> ConfigError:
    return ConfigError(
        f"{root} is there already",
        code="directory.exists",
        remedy="Name a directory that is new or empty.",
    )
