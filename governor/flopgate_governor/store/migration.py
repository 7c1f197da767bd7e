"""A store of the version before, brought up in one transaction."""

from __future__ import annotations

import sqlite3
from typing import Final

from flopgate_governor.core.facts import run_key

BEFORE: Final = 5
"""The one version that is brought up."""
_LANES: Final = """
SELECT host.custodian, lane.workload, lane.allotted_tflop, lane.ungranted_tflop,
       lane.unaccounted_tflop,
       (SELECT max(ceiling_tflop) FROM "grant"
        WHERE "grant".host_id = lane.host_id AND "grant".workload = lane.workload)
FROM lane JOIN host ON host.host_id = lane.host_id
"""


def bring_up(driver: sqlite3.Connection) -> None:
    """From version 5: sums of what each custodian computes under each name.

    Grants of before have no rate: they run out within the life of a permit.
    """
    for table in ('"grant"', "budget"):
        driver.execute(f"ALTER TABLE {table} ADD COLUMN rate_tflop_per_s BIGINT NOT NULL DEFAULT 0")
    sums: dict[str, list[int]] = {}
    for custodian, workload, allotted, ungranted, unaccounted, ceiling in driver.execute(_LANES):
        held = sums.setdefault(run_key(custodian, workload), [0, 0, 0])
        held[0] += allotted - ungranted
        held[1] += max(0, (ceiling or 0) - allotted)
        held[2] += unaccounted + ungranted
    for key, (settled, outstanding, unaccounted) in sums.items():
        driver.execute(
            "INSERT INTO budget (scope, settled_tflop, outstanding_tflop, unaccounted_tflop) "
            "VALUES (?, ?, ?, ?)",
            (key, settled, outstanding, str(unaccounted)),
        )
