"""How large the ledger may grow: what nobody needs goes first, and the file is given back.

What an authority has not acknowledged stays, whatever it takes: only a full disk ends that, and
then compute stops (law 8). Everything here runs inside the caller's transaction, `shrink` outside.
"""

from __future__ import annotations

import sqlite3
from typing import Final

KEEP_ACKNOWLEDGED: Final = 1000
"""Acknowledged reports that are kept for `flopgate-agent outbox`, where the bytes allow it."""

BYTES_MAX: Final = 64 * 1024 * 1024
"""Of what the ledger holds, as far as nobody needs it."""

FREE_BYTES_MAX: Final = 1024 * 1024
"""Free pages in the file that are not worth a copy of it."""

_AT_ONCE: Final = 8
"""Of what is acknowledged one part in so many goes at a time, until the rest fits."""


def used_bytes(db: sqlite3.Connection) -> int:
    """What the tables take."""
    return (_pragma(db, "page_count") - _pragma(db, "freelist_count")) * _pragma(db, "page_size")


def free_bytes(db: sqlite3.Connection) -> int:
    """What the file holds and nothing uses."""
    return _pragma(db, "freelist_count") * _pragma(db, "page_size")


def trim(
    db: sqlite3.Connection,
    needless_sequence: int,
    *,
    held_sequence: int | None = None,
    keep: int = KEEP_ACKNOWLEDGED,
    bytes_max: int = BYTES_MAX,
) -> None:
    """Drop reports up to ``needless_sequence`` that are too many, the oldest first.

    The newest report stays in any case: the next run goes on from it.

    Args:
        db: inside a transaction.
        needless_sequence: up to here no authority that can have a say needs the chain any more.
        held_sequence: up to here nobody lacks it; what mere recipients lack goes by bytes alone.
        keep: so many of them stay.
        bytes_max: as long as the whole ledger takes no more than this.
    """
    newest = db.execute("SELECT max(sequence) FROM report").fetchone()[0]
    if newest is None:
        return
    needless = min(needless_sequence, newest - 1)
    held = needless_sequence if held_sequence is None else min(held_sequence, needless_sequence)
    if held > keep:
        _drop(db, min(needless, held - keep))
    while used_bytes(db) > bytes_max:
        oldest, count = db.execute(
            "SELECT min(sequence), count(*) FROM report WHERE sequence <= ?", (needless,)
        ).fetchone()
        if not count:
            return
        _drop(db, oldest + max(1, count // _AT_ONCE) - 1)


def shrink(db: sqlite3.Connection) -> None:
    """Write the file anew without its free pages.

    Raises:
        sqlite3.Error: there is no room for the copy; nothing has changed.
    """
    db.execute("VACUUM")
    # In WAL mode the file itself is cut by the checkpoint.
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _drop(db: sqlite3.Connection, up_to: int) -> None:
    db.execute("DELETE FROM report WHERE sequence <= ?", (up_to,))


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])
