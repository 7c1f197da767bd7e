"""Bugs of the governor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import insert

from flopgate_governor import replies, working_set
from flopgate_governor.core import account, chain, decide, exchange, quotes
from flopgate_governor.core.facts import Books, lane_scopes
from flopgate_governor.core.orders import GovernorBook
from flopgate_governor.core.quotes import QuoteRead
from flopgate_governor.core.silence import Silence
from flopgate_governor.store import database, logbook, records, schema
from flopgate_governor.store.prepared import Write
from flopgate_proto.envelope import Envelope, Verified
from flopgate_proto.errors import HistoryError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Resume
from flopgate_sim.planted.patching import Swap


def retry_granted_anew() -> tuple[Swap, ...]:
    fill = replies._fill_again  # noqa: SLF001  # the bug goes where the rule is

    def anew(batch: Any, item: Any, older: Any) -> None:
        fill(batch, item, older)
        for leaf in batch.answers:
            answer = pb.Answer.FromString(leaf.payload)
            answer.governor_unix_ms += 1
            leaf.payload = answer.SerializeToString(deterministic=True)

    return (Swap(replies, "_fill_again", anew),)


def released_on_silence() -> tuple[Swap, ...]:
    def generous(lane: Any, _report: Any, _quote: Any, _drift_ppm: int) -> Any:
        return replace(lane, grants=())

    return (Swap(account, "settle", generous), unconstrained())


def cap_uncounted() -> tuple[Swap, ...]:
    """The code forgets the cap; the database does not."""
    ceiling = decide._ceiling  # noqa: SLF001  # as above

    def boundless(asked: Any, host: Any, _books: Any, standing: Any, policy: Any) -> Any:
        return ceiling(asked, host, Books(), standing, policy)

    return (Swap(decide, "_ceiling", boundless),)


def cap_ignored() -> tuple[Swap, ...]:
    return (*cap_uncounted(), unconstrained())


def widest_cap_ignored() -> tuple[Swap, ...]:
    def narrow(host: Any, workload: str) -> tuple[str, ...]:
        return tuple(s for s in lane_scopes(host, workload) if s.startswith("cluster:"))

    return (Swap(decide, "lane_scopes", narrow), unconstrained())


def silence_free() -> tuple[Swap, ...]:
    return (Swap(Silence, "charged_tflop", lambda *_arguments, **_apart: 0),)


def kept_reports_heard() -> tuple[Swap, ...]:
    def now(*_of: object, unix_ms: int, **_known: object) -> int:
        return unix_ms

    return (Swap(exchange, "heard_unix_ms", now),)


def unconstrained() -> Swap:
    """The database takes what the code says."""
    pragmas = (*database._PRAGMAS, "PRAGMA ignore_check_constraints = ON")  # noqa: SLF001  # as above
    return Swap(database, "_PRAGMAS", pragmas)


def counted_twice() -> tuple[Swap, ...]:
    move = Books.move

    def twice(self: Books, scopes: Any, before: Any, after: Any) -> None:
        move(self, scopes, before, after)
        move(self, scopes, before, after)

    return (Swap(Books, "move", twice), unconstrained())


def snapshot_accepted() -> tuple[Swap, ...]:
    place = chain.place

    def lenient(report: Any, digest: bytes, facts: Any, stored: bytes | None) -> chain.Place:
        try:
            return place(report, digest, facts, stored)
        except HistoryError:
            return chain.Place.NEXT

    new = insert(schema.report).prefix_with("OR REPLACE")
    columns = [column.name for column in schema.report.columns if column.name != "id"]
    return (
        Swap(exchange, "place", lenient),
        Swap(exchange, "check_continuity", lambda *_arguments: None),
        Swap(records, "_NEW_REPORT", Write(new, columns)),
    )


def restored_grants() -> tuple[Swap, ...]:
    read = quotes.read_quote

    def trusting(quote: Any, facts: Any, known: Any, numbering: Any, **beside: bool) -> QuoteRead:
        if quote is not None and quote.answer_digest and known is None:
            return QuoteRead(answer=facts.quoted, grant=quote.grant)
        return read(quote, facts, known, numbering, **beside)

    return (
        Swap(working_set, "shows_loss", lambda *_arguments: False),
        Swap(exchange, "read_quote", trusting),
        Swap(exchange, "check_continuity", lambda *_arguments: None),
    )


def roots_unverified() -> tuple[Swap, ...]:
    def unsigned(envelope: Envelope, payload_type: str, _keys: object) -> Verified:
        return Verified(payload_type, envelope.payload, envelope.digest, frozenset())

    return (Swap(quotes, "verify", unsigned),)


def resume_lifts_all() -> tuple[Swap, ...]:
    accept = GovernorBook.accept

    def careless(self: GovernorBook, envelope: Any, unix_ms: int) -> GovernorBook:
        taken = accept(self, envelope, unix_ms)
        verified = self.orders.trust.verify(envelope)
        return (
            replace(taken, orders=replace(taken.orders, pauses=()))
            if isinstance(verified.order, Resume)
            else taken
        )

    return (Swap(GovernorBook, "accept", careless),)


def granted_under_pause() -> tuple[Swap, ...]:
    return (Swap(exchange, "pauses_for", lambda *_arguments: ()),)


def answer_before_commit() -> tuple[Swap, ...]:
    durable = database._PRAGMAS  # noqa: SLF001  # as above
    pragmas = tuple(one.replace("FULL", "OFF") for one in durable)
    return (Swap(database, "_PRAGMAS", pragmas),)


def log_entry_missing() -> tuple[Swap, ...]:
    write = logbook.write_log

    def partial(connection: Any, appended: Any) -> None:
        write(connection, replace(appended, entries=()))

    return (Swap(working_set, "write_log", partial),)


def recovered_unsynced() -> tuple[Swap, ...]:
    configure = database._configure  # noqa: SLF001  # as above

    class Deaf:
        """A connection that does everything but the checkpoint."""

        def __init__(self, connection: Any) -> None:
            object.__setattr__(self, "_connection", connection)

        def __setattr__(self, name: str, value: object) -> None:
            setattr(self._connection, name, value)

        def execute(self, statement: str) -> Any:
            if "wal_checkpoint" in statement:
                return None
            return self._connection.execute(statement)

        _connection: Any

    def forgetful(connection: Any, record: Any) -> None:
        configure(Deaf(connection), record)  # type: ignore[arg-type]

    return (Swap(database, "_configure", forgetful),)


def batch_before_forgotten() -> tuple[Swap, ...]:
    """What is signed next names the same batch as the one before it, once in a while."""
    settle = working_set.Work.settle_state

    def settled(self: Any, sealed: Any) -> None:
        before = self.state.batch_digest
        settle(self, sealed)
        if sealed is not None and sealed.number % 7 == 0:
            self.state.batch_digest = before

    return (Swap(working_set.Work, "settle_state", settled),)
