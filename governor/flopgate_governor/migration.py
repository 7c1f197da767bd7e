"""A store of the version before, brought up in one transaction."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from flopgate_governor import schema
from flopgate_proto.limits import COUNT_MAX

BEFORE: Final = 4
"""The one version that is brought up."""


def bring_up(driver: sqlite3.Connection) -> None:
    """From version 4: sums become integers under their constraint.

    What a host had claimed above its ceilings stays where it was counted; later claims do not join
    it. Caps are written when the policy in force is known.
    """
    driver.execute("ALTER TABLE lane RENAME COLUMN highest_ceiling_tflop TO ungranted_tflop")
    driver.execute("UPDATE lane SET ungranted_tflop = max(0, allotted_tflop - ungranted_tflop)")
    rows = driver.execute(
        "SELECT scope, settled_tflop, outstanding_tflop, unaccounted_tflop FROM budget"
    ).fetchall()
    driver.execute("DROP TABLE budget")
    driver.execute(str(CreateTable(schema.budget).compile(dialect=sqlite.dialect())))
    for scope, *texts in rows:
        settled, outstanding, unaccounted = map(int, texts)
        # Sums of what hosts claimed could pass 64 bits; that is in no escrow.
        outstanding = min(outstanding, COUNT_MAX)
        over = max(0, settled + outstanding - COUNT_MAX)
        driver.execute(
            "INSERT INTO budget (scope, settled_tflop, outstanding_tflop, unaccounted_tflop) "
            "VALUES (?, ?, ?, ?)",
            (scope, settled - over, outstanding, str(unaccounted + over)),
        )
