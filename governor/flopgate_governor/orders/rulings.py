"""Adoptions, closures and reliefs take effect in the store, each once, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from flopgate_governor.core import rulings
from flopgate_governor.core.facts import (
    NO_ANSWER,
    Books,
    Chain,
    Host,
    HostFacts,
    IssuedAnswer,
    lane_scopes,
)
from flopgate_governor.core.quotes import own_quote
from flopgate_governor.retirement import forget_retired, free_chips
from flopgate_governor.state import State
from flopgate_governor.store import budgets, lanes_beside, license_rows, records, schema
from flopgate_governor.store.prepared import Query, Row, Write
from flopgate_proto.codec import decode_report
from flopgate_proto.errors import HistoryError
from flopgate_proto.orders.works import UNDECLARED
from flopgate_proto.trust import VerifiedOrder
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import ChargedFigure
from flopgate_proto.values.orders import Adoption, Closure, Order, Relief
from flopgate_proto.values.reports import Report

BY_ORDER: Final = "order"
BY_POLICY: Final = "policy"
FORKED: Final = "host.forked"
"""Why a chain is closed of which another history was shown."""

_DONE: Final = Query(
    select(schema.ruling.c.digest).where(schema.ruling.c.digest == bindparam("digest"))
)
_NEW_RULING: Final = Write(insert(schema.ruling))
_NEW_CLOSURE: Final = Write(insert(schema.closure))
_CLOSED: Final = Query(
    select(func.count()).where(
        schema.closure.c.custodian == bindparam("custodian"),
        schema.closure.c.by == BY_POLICY,
        schema.closure.c.unix_ms > bindparam("since"),
    )
)
_RELIEVED: Final = Query(
    select(schema.relief.c.amount_tflop).where(
        schema.relief.c.host_id == bindparam("host"),
        schema.relief.c.workload == bindparam("workload"),
    )
)
_new_relief = upsert(schema.relief)
_RELIEVE: Final = Write(
    _new_relief.on_conflict_do_update(
        index_elements=["host_id", "workload"],
        set_={"amount_tflop": schema.relief.c.amount_tflop + _new_relief.excluded.amount_tflop},
    )
)
_KEPT: Final = Query(
    select(schema.evidence.c.envelope).where(
        schema.evidence.c.host_id == bindparam("host"),
        schema.evidence.c.digest == bindparam("head"),
    )
)
_FROM: Final[BindParameter[Any]] = bindparam("b_from")
_OF: Final[BindParameter[Any]] = bindparam("b_host")
_R: Final = schema.report.c
_ON_RECORD: Final = Query(
    select(_R.envelope).where(_R.host_id == bindparam("host"), _R.digest == bindparam("head"))
)
_FORK: Final = Query(
    select(schema.evidence.c.envelope)
    .where(
        schema.evidence.c.host_id == bindparam("host"), schema.evidence.c.kind == "report.forked"
    )
    .order_by(schema.evidence.c.id.desc())
    .limit(1)
)
_GIVEN_UP: Final = Query(
    select(_R.digest, _R.envelope).where(
        _R.host_id == bindparam("host"), _R.sequence >= bindparam("first")
    )
)
_DROP: Final = Write(delete(schema.report).where(and_(_R.host_id == _OF, _R.sequence >= _FROM)))
_RESTART: Final = Write(
    update(schema.host)
    .where(schema.host.c.host_id == _OF)
    .values(enrolled_sequence=bindparam("b_sequence"))
)


@dataclass(slots=True)
class Settling:
    """What rulings of one transaction change.

    Attributes:
        ended: hosts whose chains were closed.
        moved: hosts that memory must read again.
    """

    ended: list[bytes]
    moved: list[bytes]


def check(connection: Connection, state: State, order: Order) -> None:
    """Refuse a ruling that could not take effect now; nothing is written.

    Raises:
        HistoryError: host, head or amount are not what the order says.
    """
    if isinstance(order, Adoption | Closure | Relief):
        host, chain = _chain(connection, state, order.host_id)
        books = _books(connection, host, chain.lanes)
        match order:
            case Adoption():
                rulings.check_adoptable(chain.facts)
                other = _other_head(connection, chain.facts, order)
                if other is not None:
                    _quoted(connection, state, chain.facts, other)
            case Closure():
                rulings.check_closable(chain.facts)
            case Relief():
                _relieve(connection, order, host, chain, books)


def carry_out(
    connection: Connection, state: State, verified: VerifiedOrder, unix_ms: int
) -> Settling:
    """Write what a ruling does, unless it was written before.

    Raises:
        HistoryError: it cannot take effect any more; nothing was written.
    """
    settling = Settling(ended=[], moved=[])
    order = verified.order
    if not isinstance(order, Adoption | Closure | Relief):
        return settling
    if _DONE.run(connection, digest=verified.digest):
        return settling
    match order:
        case Adoption():
            _adopt(connection, state, order, unix_ms)
        case Closure():
            close(connection, state, order.host_id, by=BY_ORDER, unix_ms=unix_ms)
            settling.ended.append(order.host_id)
        case Relief():
            host, chain = _chain(connection, state, order.host_id)
            books = _books(connection, host, chain.lanes)
            _relieve(connection, order, host, chain, books)
            row = {"host_id": order.host_id, "workload": order.workload}
            _RELIEVE.run(connection, [{**row, "amount_tflop": order.amount_tflop}])
            budgets.write_totals(connection, books)
    settling.moved.append(order.host_id)
    note_done(connection, verified.digest, unix_ms)
    return settling


def note_done(connection: Connection, digest: bytes, unix_ms: int) -> None:
    """Nothing more is done for this ruling, whenever the governor starts."""
    _NEW_RULING.run(connection, [{"digest": digest, "unix_ms": unix_ms}])


def settle(state: State, settlings: list[Settling]) -> None:
    """Bring memory to where the store is, once that is durable."""
    if not settlings:
        return
    state.forget()
    for one in settlings:
        for host_id in one.moved:
            state.hosts.pop(host_id, None)
        forget_retired(state, one.ended)


def close(connection: Connection, state: State, host_id: bytes, *, by: str, unix_ms: int) -> None:
    """End a chain: its ceilings are spent, its silence is charged, its chips are free.

    Raises:
        HistoryError: there is no such host, or its chain has ended.
    """
    host, chain = _chain(connection, state, host_id)
    rulings.check_closable(chain.facts)
    books = _books(connection, host, chain.lanes)
    policy = state.book.orders.policy
    facts, lanes = rulings.close(
        chain,
        books,
        silent_ms=unix_ms - chain.facts.heard_unix_ms,
        figure=ChargedFigure.HIGH if policy is None else policy.charged_figure,
    )
    _write(connection, Chain(facts=facts, lanes=lanes), books, before=chain)
    lanes_beside.write_ended(connection, host_id, chain.lanes, lanes)
    free_chips(connection, [host_id])
    _NEW_CLOSURE.run(
        connection,
        [{"host_id": host_id, "custodian": host.custodian, "by": by, "unix_ms": unix_ms}],
    )


def closures_left(connection: Connection, state: State, custodian: str, unix_ms: int) -> int:
    """How many old chains new enrolments of a custodian may still close by themselves."""
    policy = state.book.orders.policy
    if policy is None:
        return 0
    since = unix_ms - policy.closures_span_ms
    ((used,),) = _CLOSED.run(connection, custodian=custodian, since=since)
    return max(0, policy.closures_max - int(used))


def _adopt(connection: Connection, state: State, order: Adoption, unix_ms: int) -> None:
    host, chain = _chain(connection, state, order.host_id)
    rulings.check_adoptable(chain.facts)
    other = _other_head(connection, chain.facts, order)
    rival = _rival(connection, chain.facts) if other is None else other
    added = {} if rival is None else rulings.added(rival, _parting(connection, rival))
    books = _books(connection, host, {*chain.lanes, *added})
    given_up: list[Row] = []
    if other is None:
        facts, lanes = rulings.adopt_own(chain, books, added_tflop=added)
    else:
        quoted = _quoted(connection, state, chain.facts, other)
        facts, lanes = rulings.adopt_other(
            chain, other, order.head, quoted, books, added_tflop=added
        )
        given_up = _give_up(connection, order, unix_ms)
    _write(connection, Chain(facts=facts, lanes=lanes), books, before=chain, evidence=given_up)


def _give_up(connection: Connection, order: Adoption, unix_ms: int) -> list[Row]:
    """The reports of the other history make room; as evidence, which they stay."""
    host_id = order.host_id
    rows: list[Row] = [
        {
            "host_id": host_id,
            "kind": "chain.given-up",
            "digest": digest,
            "detail": f"report given up for {order.head.hex()[:16]}",
            "envelope": envelope,
            "unix_ms": unix_ms,
        }
        for digest, envelope in _GIVEN_UP.run(connection, host=host_id, first=order.sequence)
    ]
    _DROP.run(connection, [{"b_host": host_id, "b_from": order.sequence}])
    _RESTART.run(connection, [{"b_host": host_id, "b_sequence": order.sequence}])
    return rows


def _chain(connection: Connection, state: State, host_id: bytes) -> tuple[Host, Chain]:
    host = state.read(connection, host_id)
    if host is None:
        raise HistoryError(
            f"no host {host_id.hex()[:16]} is enrolled",
            code="ruling.host-unknown",
            remedy="Copy its id from `flopgate-governor status`.",
        )
    return host, records.load_chains(connection, {host_id: host})[host_id]


def _books(connection: Connection, host: Host, lanes: Iterable[str]) -> Books:
    workloads = {*lanes, UNDECLARED}
    scopes = {scope for workload in workloads for scope in lane_scopes(host, workload)}
    return budgets.load_books(connection, scopes)


def _other_head(connection: Connection, facts: HostFacts, order: Adoption) -> Report | None:
    """The report that is adopted; ``None`` for the newest on record.

    Raises:
        HistoryError: nothing of this digest is known.
    """
    if (order.sequence, order.head) == (facts.sequence, facts.head):
        return None
    for (envelope,) in _KEPT.run(connection, host=order.host_id, head=order.head):
        report = _report_of(envelope)
        if report.sequence == order.sequence:
            return report
    raise HistoryError(
        f"no report {order.sequence} with digest {order.head.hex()[:16]} is on record or kept as "
        "evidence",
        code="adoption.head",
        remedy="`flopgate-governor order propose adopt` without --head shows those that can be.",
    )


def _rival(connection: Connection, facts: HostFacts) -> Report | None:
    """The report of another history that closed the chain; ``None`` where other evidence did."""
    if facts.refused_reason != FORKED:
        return None
    ((envelope,),) = _FORK.run(connection, host=facts.host.host_id)
    return _report_of(envelope)


def _parting(connection: Connection, rival: Report) -> Report | None:
    """The report that both histories follow; ``None`` where it is not on record."""
    for query in (_ON_RECORD, _KEPT):
        for (envelope,) in query.run(connection, host=rival.host_id, head=rival.previous):
            return _report_of(envelope)
    return None


def _report_of(envelope: bytes) -> Report:
    # The last report of a chain reads as any other.
    return decode_report(pb.Envelope.FromString(envelope).payload)


def _quoted(connection: Connection, state: State, facts: HostFacts, report: Report) -> IssuedAnswer:
    """Our answer that a report quotes.

    Raises:
        HistoryError: we gave none like it.
    """
    quote = own_quote(report, state.authority)
    if quote is None or not quote.answer_digest:
        return NO_ANSWER
    for issued in records.load_issued(connection, facts, quote.batch_number):
        if issued.digest == quote.answer_digest:
            return issued
    raise HistoryError(
        f"report {report.sequence} quotes an answer that this authority never gave",
        code="adoption.quote",
        remedy="Adopt what is on record, or close the chain.",
    )


def _relieve(connection: Connection, order: Relief, host: Host, chain: Chain, books: Books) -> None:
    rows = _RELIEVED.run(connection, host=order.host_id, workload=order.workload)
    taken_tflop = sum(row[0] for row in rows)
    taken_tflop += lanes_beside.load_before_tflop(connection, order.host_id, order.workload)
    rulings.relieve(order, host, chain.lanes, taken_tflop, books)


def _write(
    connection: Connection,
    after: Chain,
    books: Books,
    *,
    before: Chain,
    evidence: list[Row] | None = None,
) -> None:
    host_id = after.facts.host.host_id
    records.write(
        connection,
        records.Writes(
            hosts=[records.host_row(after.facts)],
            lanes=[records.lane_row(host_id, lane) for lane in after.lanes.values()],
            grants=[],
            cut_grants=[
                {"b_host": host_id, "b_workload": workload, "b_position": 0}
                for workload in before.lanes
            ],
            reports=[],
            told=[],
            evidence=evidence or [],
            licenses=[license_rows.quote_row(after.facts)],
            wishes=[],
        ),
        books,
    )
