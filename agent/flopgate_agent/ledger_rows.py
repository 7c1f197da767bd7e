"""Rows of the ledger that several of its methods read or write."""

from __future__ import annotations

import sqlite3
from typing import Final

from flopgate_agent.gate.actions import KeepLicenses
from flopgate_agent.gate.memory import Moment, StoredLicenses, StoredTime
from flopgate_proto.codec import envelope_from_wire, envelope_to_wire, parse_message
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb

_TIME: Final = (
    "earliest_unix_ms",
    "latest_unix_ms",
    "time_running_ms",
    "time_boot_id",
    "time_elapsed_ms",
    "heard_running_ms",
)
TIME_TOLD: Final = ", ".join(f"{name}=coalesce(?,{name})" for name in _TIME)
"""Sets what an authority told of the time to `time_columns`; what is not told stays."""


def time_columns(told: StoredTime | None, *, heard: bool) -> tuple[int | bytes | None, ...]:
    """What was told of the time, if anything was; ``heard``: by a word about this host."""
    if told is None:
        return (None,) * len(_TIME)
    at = told.at
    return (
        told.earliest_unix_ms,
        told.latest_unix_ms,
        at.running_ms,
        at.boot_id,
        at.elapsed_ms,
        at.running_ms if heard else None,
    )


def keep_time(
    db: sqlite3.Connection, authority: str, told: StoredTime | None, *, heard: bool
) -> None:
    """Write it down."""
    columns = time_columns(told, heard=heard)
    db.execute(f"UPDATE authority SET {TIME_TOLD} WHERE name=?", (*columns, authority))  # noqa: S608


def load_time(db: sqlite3.Connection, authority: str) -> StoredTime | None:
    """The same; ``None`` before anything was told."""
    earliest_ms, latest_ms, running_ms, boot_id, elapsed_ms = db.execute(
        "SELECT earliest_unix_ms, latest_unix_ms, time_running_ms, time_boot_id,"
        " time_elapsed_ms FROM authority WHERE name=?",
        (authority,),
    ).fetchone()
    if earliest_ms is None:
        return None
    return StoredTime(
        earliest_unix_ms=earliest_ms,
        latest_unix_ms=latest_ms,
        at=Moment(running_ms=running_ms, boot_id=boot_id, elapsed_ms=elapsed_ms),
    )


def keep_licenses(db: sqlite3.Connection, action: KeepLicenses) -> None:
    """The newest row of licenses takes the place of the one before."""
    db.execute(
        "INSERT OR REPLACE INTO license (only, number, row) VALUES (1,?,?)",
        (action.number, to_bytes(action.row)),
    )


def load_licenses(db: sqlite3.Connection) -> StoredLicenses | None:
    """It, if there is one."""
    found = db.execute("SELECT number, row FROM license").fetchone()
    return None if found is None else StoredLicenses(number=found[0], row=from_bytes(found[1]))


def to_bytes(envelope: Envelope) -> bytes:
    """An envelope as it is kept."""
    return envelope_to_wire(envelope).SerializeToString()


def from_bytes(data: bytes) -> Envelope:
    """The same, read back."""
    return envelope_from_wire(parse_message(pb.Envelope(), data))


def quoted_batches(payload: bytes) -> list[tuple[str, int]]:
    """Authority and batch number of each answer that a report quotes."""
    quotes = parse_message(pb.Report(), payload).quotes
    return [(quote.authority, quote.batch_number) for quote in quotes if quote.answer_digest]
