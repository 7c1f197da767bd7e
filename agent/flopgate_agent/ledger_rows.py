"""Rows of the ledger that several of its methods read or write."""

from __future__ import annotations

import sqlite3

from flopgate_agent.gate.actions import KeepLicenses
from flopgate_agent.gate.memory import Moment, StoredLicenses, StoredTime
from flopgate_proto.codec import envelope_from_wire, envelope_to_wire, parse_message
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb


def keep_time(
    db: sqlite3.Connection, authority: str, told: StoredTime | None, *, heard: bool
) -> None:
    """What was told of the time, if anything was; ``heard``: by a word about this host."""
    if told is None:
        return
    db.execute(
        "UPDATE authority SET earliest_unix_ms=?, latest_unix_ms=?, time_running_ms=?,"
        " time_boot_id=?, time_elapsed_ms=? WHERE name=?",
        (
            told.earliest_unix_ms,
            told.latest_unix_ms,
            told.at.running_ms,
            told.at.boot_id,
            told.at.elapsed_ms,
            authority,
        ),
    )
    if heard:
        db.execute(
            "UPDATE authority SET heard_running_ms=? WHERE name=?",
            (told.at.running_ms, authority),
        )


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
