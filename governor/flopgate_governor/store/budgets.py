"""Budgets in the store: sums by scope, and the constraint that holds law 2 beside the code.

`settled + outstanding <= bound` is checked by the database at every write. The bound is the cap in
force. Where officers lowered the cap below what was out, it is what was out then, and follows what
is given back down to the cap: from there nothing but a higher cap raises it. No exchange writes a
cap; only the transaction that takes a policy does. A scope without a budget has the highest count
as its cap. The unaccounted book stands beside it and has no limit (law 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, bindparam, case, select, update
from sqlalchemy.dialects.sqlite import insert

from flopgate_governor.core.facts import Books, Totals
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import KEYS, Query, Read, Row, Write
from flopgate_proto.limits import COUNT_MAX

_S: Final = schema.budget.c
_GRANTED: Final = _S.settled_tflop + _S.outstanding_tflop
_TOTALS: Final = Read(
    select(
        _S.scope, _S.settled_tflop, _S.unaccounted_tflop, _S.outstanding_tflop, _S.rate_tflop_per_s
    ).where(_S.scope.in_(KEYS))
)
_new = insert(schema.budget)
_granted = _new.excluded.settled_tflop + _new.excluded.outstanding_tflop
_WRITE: Final = Write(
    _new.on_conflict_do_update(
        index_elements=["scope"],
        set_={
            "settled_tflop": _new.excluded.settled_tflop,
            "outstanding_tflop": _new.excluded.outstanding_tflop,
            "unaccounted_tflop": _new.excluded.unaccounted_tflop,
            "rate_tflop_per_s": _new.excluded.rate_tflop_per_s,
            "bound_tflop": case(
                (_granted <= _S.cap_tflop, _S.cap_tflop),
                (_granted < _S.bound_tflop, _granted),
                else_=_S.bound_tflop,
            ),
        },
    ),
    ("scope", "settled_tflop", "outstanding_tflop", "unaccounted_tflop", "rate_tflop_per_s"),
)
_UNCAP: Final = Write(
    update(schema.budget)
    .where(_S.cap_tflop != bindparam("none"))
    .values(cap_tflop=bindparam("none"), bound_tflop=bindparam("none"))
)
_CAPPED: Final = Query(select(_S.scope).where(_S.cap_tflop != bindparam("none")).limit(1))
_CAP: Final = Write(
    _new.on_conflict_do_update(
        index_elements=["scope"],
        set_={
            "cap_tflop": _new.excluded.cap_tflop,
            "bound_tflop": case(
                (_new.excluded.cap_tflop < _GRANTED, _GRANTED), else_=_new.excluded.cap_tflop
            ),
        },
    ),
    (
        "scope",
        "settled_tflop",
        "outstanding_tflop",
        "unaccounted_tflop",
        "rate_tflop_per_s",
        "cap_tflop",
        "bound_tflop",
    ),
)


def load_books(connection: Connection, scopes: Iterable[str]) -> Books:
    """Totals of these scopes."""
    return Books(_totals(connection, scopes))


def learn_totals(connection: Connection, scopes: Iterable[str], known: dict[str, Totals]) -> None:
    """Read those that are not known; a scope to which nothing was posted has zeros."""
    missing = [scope for scope in scopes if scope not in known]
    if missing:
        known |= {scope: Totals() for scope in missing} | _totals(connection, missing)


def _totals(connection: Connection, scopes: Iterable[str]) -> dict[str, Totals]:
    return {row[0]: Totals(*map(int, row[1:])) for row in _TOTALS.run(connection, scopes)}


def write_totals(connection: Connection, books: Books) -> None:
    """Write what moved.

    Raises:
        sqlite3.IntegrityError: a scope would pass its bound; the code before let it.
    """
    _WRITE.run(connection, [_row(scope, books.of(scope)) for scope in books.changed])


def write_caps(connection: Connection, caps_tflop: Mapping[str, int]) -> None:
    """Let these caps hold, by scope in words, and no others."""
    _UNCAP.run(connection, [{"none": COUNT_MAX}])
    rows = [
        {**_row(scope, Totals()), "cap_tflop": cap, "bound_tflop": cap}
        for scope, cap in caps_tflop.items()
    ]
    _CAP.run(connection, rows)


def restore_caps(connection: Connection, caps_tflop: Mapping[str, int]) -> None:
    """Write the caps in force into a store that knows none yet: it comes from a version before."""
    if caps_tflop and not _CAPPED.run(connection, none=COUNT_MAX):
        write_caps(connection, caps_tflop)


def _row(scope: str, totals: Totals) -> Row:
    return {
        "scope": scope,
        "settled_tflop": totals.settled_tflop,
        "outstanding_tflop": totals.outstanding_tflop,
        # Any host may write any count there, and sums of counts pass 64 bits.
        "unaccounted_tflop": str(totals.unaccounted_tflop),
        "rate_tflop_per_s": totals.rate_tflop_per_s,
    }
