"""Tables of the gate's ledger, and how a ledger of the version before becomes one of this."""

from __future__ import annotations

import sqlite3
from typing import Final

from flopgate_proto.errors import StorageError

SCHEMA_VERSION: Final = 6

_SCHEMA: Final = """
CREATE TABLE report (
    sequence INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    signed BLOB NOT NULL
) STRICT;
CREATE TABLE authority (
    name TEXT PRIMARY KEY,
    enrolment BLOB,
    asked BLOB NOT NULL DEFAULT x'',
    admitted INTEGER NOT NULL DEFAULT 0,
    answer_digest BLOB NOT NULL DEFAULT x'',
    batch_number INTEGER NOT NULL DEFAULT 0,
    batch_digest BLOB NOT NULL DEFAULT x'',
    grant_digest BLOB NOT NULL DEFAULT x'',
    acknowledged_sequence INTEGER NOT NULL DEFAULT 0,
    earliest_unix_ms INTEGER,
    latest_unix_ms INTEGER,
    time_running_ms INTEGER,
    time_boot_id BLOB NOT NULL DEFAULT x'',
    time_elapsed_ms INTEGER NOT NULL DEFAULT 0,
    heard_running_ms INTEGER NOT NULL DEFAULT 0,
    named_policy BLOB NOT NULL DEFAULT x''
) STRICT;
CREATE TABLE accepted_order (
    position INTEGER PRIMARY KEY,
    authority TEXT NOT NULL,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL,
    first_seen_running_ms INTEGER NOT NULL,
    UNIQUE (authority, digest)
) STRICT;
CREATE TABLE scope (
    authority TEXT NOT NULL,
    kind INTEGER NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (authority, kind, id)
) STRICT;
CREATE TABLE batch_root (
    authority TEXT NOT NULL,
    batch_number INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (authority, batch_number)
) STRICT;
CREATE TABLE license (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL,
    row BLOB NOT NULL
) STRICT;
"""

_FROM_2: Final = """
ALTER TABLE authority ADD COLUMN earliest_unix_ms INTEGER;
ALTER TABLE authority ADD COLUMN latest_unix_ms INTEGER;
ALTER TABLE authority ADD COLUMN time_running_ms INTEGER;
"""
"""The time as answers told it; NULL before the first one."""

_FROM_3: Final = """
ALTER TABLE authority ADD COLUMN time_boot_id BLOB NOT NULL DEFAULT x'';
ALTER TABLE authority ADD COLUMN time_elapsed_ms INTEGER NOT NULL DEFAULT 0;
"""
"""The same moment on the host's own clock."""

_FROM_4: Final = """
ALTER TABLE authority ADD COLUMN heard_running_ms INTEGER NOT NULL DEFAULT 0;
UPDATE authority SET heard_running_ms=coalesce(time_running_ms, 0);
CREATE TABLE license (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL,
    row BLOB NOT NULL
) STRICT;
"""
"""Licenses; and when an authority was heard last."""

_FROM_5: Final = """
ALTER TABLE authority ADD COLUMN named_policy BLOB NOT NULL DEFAULT x'';
"""
"""The policy that the authority named as in force; the next answer names it."""

_FROM: Final = {
    0: _SCHEMA,
    2: _FROM_2 + _FROM_3 + _FROM_4 + _FROM_5,
    3: _FROM_3 + _FROM_4 + _FROM_5,
    4: _FROM_4 + _FROM_5,
    5: _FROM_5,
}
"""By the version found: 0 is a new file."""


def bring_up(db: sqlite3.Connection, path: str) -> None:
    """Make the tables, or bring those of an earlier version up, in one transaction.

    Raises:
        StorageError: another software wrote the ledger.
        sqlite3.Error: it cannot be read or written.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version == SCHEMA_VERSION:
        return
    if version not in _FROM:
        raise StorageError(
            f"ledger {path} has version {version}, this software has {SCHEMA_VERSION}",
            code="ledger.version",
            remedy="Install the software version that wrote it.",
        )
    db.executescript(
        f"BEGIN IMMEDIATE;{_FROM[version]}PRAGMA user_version={SCHEMA_VERSION};COMMIT;"
    )
