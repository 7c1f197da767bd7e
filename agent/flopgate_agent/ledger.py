"""The gate's durable memory: SQLite, WAL, synchronous FULL. What left was kept before (law 9).

Every method commits before it returns. One row a report, hash-chained by the reports themselves;
reports stay until every authority acknowledged them, and a while longer for people to look at, as
`ledger_bounds` says. Permits are never written (DESIGN section 7).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from flopgate_agent import ledger_bounds
from flopgate_agent.gate.actions import (
    Keep,
    KeepEnrolment,
    KeepLicenses,
    KeepOrder,
    KeepQuote,
    KeepReport,
    KeepTime,
)
from flopgate_agent.gate.memory import LastReport, Memory, StoredAuthority, StoredOrder
from flopgate_agent.ledger_bounds import BYTES_MAX, FREE_BYTES_MAX, KEEP_ACKNOWLEDGED
from flopgate_agent.ledger_rows import (
    TIME_TOLD,
    from_bytes,
    keep_licenses,
    keep_time,
    load_licenses,
    load_time,
    quoted_batches,
    time_columns,
    to_bytes,
)
from flopgate_agent.ledger_schema import create_tables
from flopgate_agent.private import make_private
from flopgate_proto.codec import (
    PayloadType,
    decode_chip_row,
    decode_report,
    envelope_from_wire,
    envelope_to_wire,
    parse_message,
)
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import FlopgateError, HistoryError, StorageError
from flopgate_proto.limits import DIGEST_BYTES
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Quote, Scope, ScopeKind

CACHE_KIB: Final = 256
"""SQLite's page cache: the gate's memory is bounded on every host."""

WAL_PAGES: Final = 128
"""Pages of the write-ahead log before it is folded in: SQLite's usual 1000 (4 MB) are for databases
that write all day, not twice in two minutes."""

_ROOT: Final = "SELECT envelope FROM batch_root WHERE authority=? AND batch_number=?"

IN_MEMORY: Final = ":memory:"
"""SQLite's name for a ledger without a file."""


class Ledger:
    """Owner of the ledger file; one process at a time.

    Args:
        path: of the file.
        bytes_max: reports that nobody needs are dropped where it would take more.

    Raises:
        StorageError: the file cannot be opened, is of another version, damaged or in use.
    """

    def __init__(self, path: Path | str, bytes_max: int = BYTES_MAX) -> None:
        self._path = str(path)
        self._bytes_max = bytes_max
        if self._path != IN_MEMORY:
            # Salts of chip rows lie in it; SQLite gives its side files the mode of this one.
            make_private(Path(path), "ledger")
        self._scopes_kept: dict[str, frozenset[Scope]] = {}
        with self._reported("open"):
            self._db = sqlite3.connect(self._path, isolation_level=None)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            # Rows are written once and read once: SQLite's usual 2 MB would only fill up.
            self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            self._db.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
            create_tables(self._db, self._path)
            # What a killed process wrote and did not sync is found again: synced before it counts.
            self._db.execute("PRAGMA wal_checkpoint(FULL)")
            check = str(self._db.execute("PRAGMA quick_check(1)").fetchone()[0])
        if check != "ok":
            raise StorageError(
                f"ledger {self._path} is damaged: {check}",
                code="ledger.damaged",
                remedy="Keep the file as evidence and ask the authority to close its chain.",
            )

        self._shrink_if_worth_it()

    def _shrink_if_worth_it(self) -> None:
        """Give back what an outage made the file grow by. Where a copy has no room, it stays."""
        with suppress(sqlite3.Error):
            free = ledger_bounds.free_bytes(self._db)
            if free > max(FREE_BYTES_MAX, ledger_bounds.used_bytes(self._db)):
                ledger_bounds.shrink(self._db)

    def compact(self, keep: int) -> None:
        """Drop what every authority has but for its newest ``keep``, and shrink the file.

        Raises:
            StorageError: it cannot be written, or there is no room for a copy.
        """
        with self._transaction() as db:
            asked = "SELECT min(acknowledged_sequence) FROM authority WHERE enrolment IS NOT NULL"
            needless = db.execute(asked).fetchone()[0] or 0
            ledger_bounds.trim(db, needless, keep=keep, bytes_max=self._bytes_max)
        with self._reported("shrink"):
            ledger_bounds.shrink(self._db)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _reported(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise StorageError(
                    f"another process holds the ledger {self._path}",
                    code="ledger.busy",
                    remedy="One gate runs on a state_dir: stop the other one first.",
                ) from error
            raise StorageError(
                f"cannot {doing} the ledger {self._path}: {error}",
                code="ledger.failed",
                remedy="Free space or mend the disk; compute stays stopped until then.",
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reported("write"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def keep(self, action: Keep) -> None:
        """Make one thing durable.

        Raises:
            StorageError: it is not durable; nothing of it was written.
            HistoryError: the report does not follow the last one.
        """
        with self._transaction() as db:
            match action:
                case KeepReport():
                    self._keep_report(db, action)
                case KeepOrder(authority=name, digest=digest, first_seen_running_ms=seen_ms):
                    db.execute(
                        "INSERT OR IGNORE INTO accepted_order"
                        " (authority, digest, envelope, first_seen_running_ms) VALUES (?,?,?,?)",
                        (name, digest, to_bytes(action.envelope), seen_ms),
                    )
                case KeepQuote():
                    self._keep_quote(db, action)
                case KeepEnrolment():
                    db.execute(
                        "INSERT INTO authority"
                        " (name, enrolment, asked, admitted, acknowledged_sequence, named_policy)"
                        " VALUES (?,?,?,?,?,?) ON CONFLICT (name) DO UPDATE SET"
                        " enrolment=excluded.enrolment, asked=excluded.asked,"
                        " admitted=excluded.admitted, named_policy=excluded.named_policy,"
                        " acknowledged_sequence=excluded.acknowledged_sequence",
                        (
                            action.authority,
                            to_bytes(action.envelope),
                            b"".join(action.asked),
                            int(action.admitted),
                            action.acknowledged_sequence,
                            action.named_policy,
                        ),
                    )
                    keep_time(db, action.authority, action.time, heard=True)
                    self._keep_scopes(db, action)
                case KeepLicenses():
                    keep_licenses(db, action)
                case KeepTime():
                    keep_time(db, action.authority, action.time, heard=False)
        if isinstance(action, KeepQuote | KeepEnrolment):
            self._scopes_kept[action.authority] = action.scopes

    def _keep_scopes(self, db: sqlite3.Connection, action: KeepQuote | KeepEnrolment) -> None:
        # They hardly ever change, and a row once written stays.
        if self._scopes_kept.get(action.authority) is not action.scopes:
            db.executemany(
                "INSERT OR IGNORE INTO scope VALUES (?,?,?)",
                [(action.authority, scope.kind.value, scope.id) for scope in action.scopes],
            )

    @staticmethod
    def _keep_report(db: sqlite3.Connection, action: KeepReport) -> None:
        last = db.execute("SELECT max(sequence) FROM report").fetchone()[0]
        if last is not None and action.sequence != last + 1:
            raise out_of_order(action.sequence, last)
        signed = pb.SignedReport(
            envelope=envelope_to_wire(action.envelope),
            rows=[pb.SaltedRow(salt=salt, row=row) for salt, row in action.rows],
        )
        db.execute(
            "INSERT INTO report (sequence, digest, signed) VALUES (?,?,?)",
            (action.sequence, action.digest, signed.SerializeToString()),
        )

    def _keep_quote(self, db: sqlite3.Connection, action: KeepQuote) -> None:
        quote = action.quote
        self._keep_scopes(db, action)
        db.execute(
            f"UPDATE authority SET {TIME_TOLD}, answer_digest=?, batch_number=?, batch_digest=?,"  # noqa: S608
            " grant_digest=?, acknowledged_sequence=?, named_policy=? WHERE name=?",
            (
                *time_columns(action.time, heard=True),
                quote.answer_digest,
                quote.batch_number,
                action.batch_digest,
                quote.grant,
                action.acknowledged_sequence,
                action.named_policy,
                action.authority,
            ),
        )
        db.execute(
            "INSERT OR IGNORE INTO batch_root VALUES (?,?,?)",
            (action.authority, quote.batch_number, to_bytes(action.batch_root)),
        )
        db.execute(
            "DELETE FROM batch_root WHERE authority=? AND batch_number <= (SELECT batch_number FROM"
            " batch_root WHERE authority=? ORDER BY batch_number DESC LIMIT 1 OFFSET ?)"
            # Numbers that a thief made up may be higher than the newest of ours.
            " AND batch_number <> ?",
            (action.authority, action.authority, KEEP_ACKNOWLEDGED, quote.batch_number),
        )
        limits = {"keep": KEEP_ACKNOWLEDGED, "bytes_max": self._bytes_max}
        ledger_bounds.trim(
            db, action.needless_sequence, held_sequence=action.held_sequence, **limits
        )

    def load(self) -> Memory:
        """Everything that outlives a run.

        Raises:
            StorageError: what is stored cannot be read back.
        """
        try:
            with self._reported("read"):
                oldest = self._db.execute("SELECT min(sequence) FROM report").fetchone()[0]
                return Memory(
                    authorities=tuple(self._authorities()),
                    last=self._last(),
                    oldest_sequence=oldest or 0,
                    licenses=load_licenses(self._db),
                )
        except (FlopgateError, ValueError) as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(
                f"ledger {self._path} holds what this software did not write: {error}",
                code="ledger.damaged",
                remedy="Keep the file as evidence and ask the authority to close its chain.",
            ) from error

    def _authorities(self) -> Iterator[StoredAuthority]:
        rows = self._db.execute(
            "SELECT name, enrolment, asked, admitted, answer_digest, batch_number, batch_digest,"
            " grant_digest, acknowledged_sequence, heard_running_ms, named_policy FROM authority"
            " ORDER BY name"
        ).fetchall()
        for row in rows:
            name, enrolment, asked, admitted, answer, number, batch, grant, *rest = row
            acknowledged, heard_ms, named = rest
            orders = self._db.execute(
                "SELECT envelope, first_seen_running_ms FROM accepted_order WHERE authority=?"
                " ORDER BY position",
                (name,),
            ).fetchall()
            yield StoredAuthority(
                name=name,
                orders=tuple(
                    StoredOrder(envelope=from_bytes(envelope), first_seen_running_ms=seen_ms)
                    for envelope, seen_ms in orders
                ),
                quote=Quote(authority=name, answer_digest=answer, batch_number=number, grant=grant)
                if answer
                else None,
                batch_digest=batch,
                batch_root=self._root(name, number),
                acknowledged_sequence=acknowledged,
                enrolment=from_bytes(enrolment) if enrolment else None,
                asked=tuple(
                    asked[start : start + DIGEST_BYTES]
                    for start in range(0, len(asked), DIGEST_BYTES)
                ),
                admitted=bool(admitted),
                scopes=self._scopes(name),
                time=load_time(self._db, name),
                heard_running_ms=heard_ms,
                named_policy=named,
            )

    def batch_roots(self, authority: str) -> list[Envelope]:
        """Signed roots of the batches of this authority that are kept, the oldest first.

        Raises:
            StorageError: the ledger cannot be read.
        """
        with self._reported("read"):
            rows = self._db.execute(
                "SELECT envelope FROM batch_root WHERE authority=? ORDER BY batch_number",
                (authority,),
            ).fetchall()
        return [from_bytes(row[0]) for row in rows]

    def _root(self, authority: str, batch_number: int) -> Envelope | None:
        row = self._db.execute(_ROOT, (authority, batch_number)).fetchone()
        return None if row is None else from_bytes(row[0])

    def _scopes(self, authority: str) -> frozenset[Scope]:
        rows = self._db.execute("SELECT kind, id FROM scope WHERE authority=?", (authority,))
        return frozenset(Scope(ScopeKind(kind), scope_id) for kind, scope_id in rows)

    def _last(self) -> LastReport | None:
        row = self._db.execute(
            "SELECT digest, signed FROM report ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        signed = parse_message(pb.SignedReport(), row[1])
        envelope = envelope_from_wire(signed.envelope)
        final = envelope.payload_type == PayloadType.RETIREMENT
        known = final or envelope.payload_type == PayloadType.REPORT
        if envelope.digest != row[0] or not known:
            raise StorageError(
                f"last report of {self._path} is not what was written",
                code="ledger.damaged",
                remedy="Keep the file as evidence and ask the authority to close its chain.",
            )
        return LastReport(
            report=decode_report(envelope.payload),
            digest=row[0],
            rows=tuple(decode_chip_row(salted.row) for salted in signed.rows),
            final=final,
        )

    def reports(self, from_sequence: int, limit: int) -> list[tuple[int, pb.SignedReport]]:
        """Reports from a sequence on, as they leave: without chip rows, with the roots they quote.

        Rows leave to recipients that policy entitles to them; no policy can say so yet.

        Raises:
            StorageError: the ledger cannot be read.
        """
        reports = []
        with self._reported("read"):
            rows = self._db.execute(
                "SELECT sequence, signed FROM report WHERE sequence >= ? ORDER BY sequence LIMIT ?",
                (from_sequence, limit),
            ).fetchall()
            for sequence, signed in rows:
                report = parse_message(pb.SignedReport(), signed)
                report.ClearField("rows")
                self._add_roots(report)
                reports.append((sequence, report))
        return reports

    def _add_roots(self, signed: pb.SignedReport) -> None:
        for key in quoted_batches(signed.envelope.payload):
            root = self._db.execute(_ROOT, key).fetchone()
            if root is not None:
                signed.quoted_roots.append(parse_message(pb.Envelope(), root[0]))


def out_of_order(sequence: int, last: int) -> HistoryError:
    """A report does not follow the last one that was kept."""
    return HistoryError(
        f"report {sequence} after {last}",
        code="ledger.sequence",
        remedy="Two gates may run on one ledger: stop one.",
    )
