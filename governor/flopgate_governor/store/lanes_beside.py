"""What a lane's row holds beside what this authority counted, or beside what reports told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.sqlite import insert

from flopgate_governor.core.facts import LaneFacts
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query, Row, Write
from flopgate_proto.values.reports import LaneTotals

_B = schema.lane_beside.c
_new = insert(schema.lane_beside)
_WRITE: Final = Write(
    _new.on_conflict_do_update(
        index_elements=["host_id", "workload"],
        set_={name: _new.excluded[name] for name in ("spent_tflop", "silent_tflop")},
    )
)
_BEFORE: Final = Query(
    select(_B.before_tflop).where(
        _B.host_id == bindparam("host"), _B.workload == bindparam("workload")
    )
)


def write_enrolled(connection: Connection, host_id: bytes, lanes: tuple[LaneTotals, ...]) -> None:
    """What a host computed without a grant before it joined: in its books, and in no budget."""
    told = {lane.workload: lane.unaccounted_tflop for lane in lanes if lane.unaccounted_tflop}
    _WRITE.run(connection, [_row(host_id, name, before=tflop) for name, tflop in told.items()])


def write_ended(
    connection: Connection,
    host_id: bytes,
    before: Mapping[str, LaneFacts],
    after: Mapping[str, LaneFacts],
) -> None:
    """What the end of a chain wrote into the books of its lanes, which no report tells."""
    rows = []
    for workload, lane in after.items():
        was = before.get(workload) or LaneFacts(workload=workload)
        spent = lane.allotted_tflop - was.allotted_tflop
        silent = lane.unaccounted_tflop - was.unaccounted_tflop
        if spent or silent:
            rows.append(_row(host_id, workload, spent=spent, silent=silent))
    _WRITE.run(connection, rows)


def load_before_tflop(connection: Connection, host_id: bytes, workload: str) -> int:
    """Of a lane's unaccounted book, what no budget counts."""
    return sum(row[0] for row in _BEFORE.run(connection, host=host_id, workload=workload))


def _row(host_id: bytes, workload: str, *, before: int = 0, spent: int = 0, silent: int = 0) -> Row:
    return {
        "host_id": host_id,
        "workload": workload,
        "before_tflop": before,
        "spent_tflop": spent,
        "silent_tflop": silent,
    }
