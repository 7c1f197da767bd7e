"""What may never be of a site, seen from outside: on the way to its governor, and in the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from traceback import format_exc
from typing import Final

from tests.support.crash.tap import Tap
from tests.support.governor_process import check_store

STORE: Final = "governor.sqlite"


def wrong_on_the_way(tap: Tap) -> list[str]:
    """What left a gate or came to it, and may not have."""
    return tap.wrong + [
        f"report {after.sequence} does not follow {before.sequence} (law 4)"
        for before, after in pairwise(tap.chain())
        if after.sequence == before.sequence + 1
        and after.previous != tap.reports[before.sequence].digest
    ]


def wrong_in_store(store: Path, tap: Tap) -> list[str]:
    """What was acknowledged and is not in the governor's store, or otherwise."""
    try:
        check_store(store, {tap.snapshot.host_id: dict(tap.answers)})
    except AssertionError:
        return [f"the store does not agree with what was told: {format_exc(limit=-1)}"]
    with closing(sqlite3.connect(store)) as connection:
        rows = connection.execute("SELECT sequence, digest FROM report").fetchall()
        over = connection.execute(
            "SELECT count(*) FROM budget WHERE settled_tflop + outstanding_tflop > cap_tflop"
        ).fetchone()
    left = {sequence: report.digest for sequence, report in dict(tap.reports).items()}
    found = [
        f"report {sequence} is on record otherwise than it left (law 4)"
        for sequence, digest in rows
        if left.get(sequence) != digest
    ]
    if over != (0,):
        found.append("more is granted than a cap allows (law 2)")
    return found
