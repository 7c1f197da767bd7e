"""A copy of the gate's ledger to read from, while the gate goes on writing.

The gate holds its ledger exclusively, so nobody can open the file beside it. What is copied is
whole: the database and its write-ahead log, taken while neither changed. A log that ends within a
write is cut at the last commit by SQLite itself.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flopgate_agent.ledger import Ledger
from flopgate_proto.errors import StorageError

NAME: Final = "ledger.sqlite"
TRIES: Final = 20
"""A gate writes some times a minute, a copy takes milliseconds."""
_PAUSE_S: Final = 0.05
_SIDE: Final = "-wal"


@contextmanager
def ledger_copy(state_dir: Path) -> Iterator[Ledger]:
    """The ledger of the gate with this state_dir, as it stood a moment ago.

    Raises:
        StorageError: there is none, it may not be read, or it changed all the time.
    """
    with tempfile.TemporaryDirectory(prefix="flopgate-outbox-") as folder:
        copy = Path(folder) / NAME
        _copy(state_dir / NAME, copy)
        ledger = Ledger(copy)
        try:
            yield ledger
        finally:
            ledger.close()


def _copy(source: Path, copy: Path) -> None:
    try:
        for _ in range(TRIES):
            before = _state(source)
            shutil.copyfile(source, copy)
            side = Path(f"{source}{_SIDE}")
            if side.exists():
                shutil.copyfile(side, Path(f"{copy}{_SIDE}"))
            if _state(source) == before:
                return
            time.sleep(_PAUSE_S)
    except FileNotFoundError as error:
        raise StorageError(
            f"no ledger at {source}",
            code="outbox.none",
            remedy="Name the gate's own gate.toml; a gate that never started has none.",
        ) from error
    except PermissionError as error:
        raise StorageError(
            f"this user may not read {source}: chip rows and their salts lie in it",
            code="outbox.rights",
            remedy="Run this as root, or as the gate's own user.",
        ) from error
    except OSError as error:
        raise StorageError(f"cannot copy {source}: {error.strerror}", code="outbox.copy") from error
    raise StorageError(
        f"{source} changed each of {TRIES} times while it was copied",
        code="outbox.busy",
        remedy="Try again in a moment.",
    )


def _state(source: Path) -> tuple[tuple[int, int, int], ...]:
    found = []
    for path in (source, Path(f"{source}{_SIDE}")):
        if path == source or path.exists():
            seen = path.stat()
            found.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return tuple(found)
