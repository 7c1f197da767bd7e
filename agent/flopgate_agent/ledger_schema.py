"""Tables of the gate's ledger."""

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


def create_tables(db: sqlite3.Connection, path: str) -> None:
    """Make the tables of a new file, in one transaction.

    Raises:
        StorageError: another version wrote the ledger.
        sqlite3.Error: it cannot be read or written.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version == SCHEMA_VERSION:
        return
    if version:
        raise StorageError(
            f"ledger {path} has version {version}, this software has {SCHEMA_VERSION}",
            code="ledger.version",
            remedy="Install the software version that wrote it.",
        )
    db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
