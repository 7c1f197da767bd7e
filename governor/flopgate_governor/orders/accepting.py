"""An officers' order: accepted, logged and in force in one transaction (laws 6 and 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select

from flopgate_governor.core.checkpoint import Logged
from flopgate_governor.core.facts import Host
from flopgate_governor.core.merging import check_ruling, rule
from flopgate_governor.core.orders import GovernorBook, caps_of
from flopgate_governor.core.pauses import concerns_host
from flopgate_governor.orders.rulings import Settling, carry_out, check, note_done, settle
from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.budgets import write_caps
from flopgate_governor.store.cluster_rows import write_clusters
from flopgate_governor.store.database import Store
from flopgate_governor.store.logbook import proof_to, write_log
from flopgate_governor.store.prepared import Query, Write
from flopgate_proto.codec import PayloadType, decode_order, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import HistoryError, MisdirectedError
from flopgate_proto.merkle import Frontier
from flopgate_proto.orders.held import Waiting
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import ScopeKind
from flopgate_proto.values.orders import ClusterRuling, Pause, Veto

OF_GOVERNORS: Final = frozenset(
    {
        PayloadType.ADOPTION,
        PayloadType.CLOSURE,
        PayloadType.RELIEF,
        PayloadType.RECONCILIATION,
        PayloadType.CLUSTER_RULING,
        PayloadType.REGISTRATION,
    }
)
"""Orders that no gate acts on."""

_NEW_ORDER: Final = Write(
    insert(schema.order), [column.name for column in schema.order.columns if column.name != "id"]
)
_PROOF: Final = Query(
    select(schema.order.c.log_proof).where(schema.order.c.digest == bindparam("digest"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An order on record, with its place in the log. ``new`` is false for a repetition.

    ``waiting``: it loosens, and is not in force yet; ``None`` where it is, or will never be.
    """

    digest: bytes
    envelope: Envelope
    proof: pb.LogProof
    new: bool
    waiting: Waiting | None = None


def accept_order(state: State, envelope: Envelope) -> Accepted:
    """Take an order; the same order again gives the same answer.

    Raises:
        PeerError: it is not one that may be taken now.
        StorageError: it was not taken.
    """
    ripen(state)
    with state.store.transaction() as connection:
        stored = _stored(connection, envelope.digest)
    if stored is not None:
        # Only what was verified once is on record: the digest covers every signed byte.
        return Accepted(
            digest=envelope.digest,
            envelope=envelope,
            proof=stored,
            new=False,
            waiting=state.book.orders.waits(envelope.digest),
        )
    unix_ms = state.now_ms()
    book = state.book.accept(envelope, unix_ms)
    if envelope.payload_type == PayloadType.LICENSE_APPROVAL:
        raise MisdirectedError(
            "an approval of licenses is no order by itself",
            code="license.approval-alone",
            remedy="Give it with its requests: `flopgate-governor license issue --approval`.",
        )
    _check_in_time(state, envelope)
    _check_ruling(state, envelope)
    appended = state.appended([envelope])
    with state.store.transaction() as connection:
        check(connection, state, decode_order(envelope.payload_type, envelope.payload))
        write_log(connection, appended)
        _write(connection, envelope, appended.logged, unix_ms)
        book, settlings, frontier = _write_effects(
            connection, state, book, appended.frontier, unix_ms
        )
    # A clock that is set back takes nothing out of force, nor brings later orders before it.
    state.unix_ms = unix_ms
    state.frontier = frontier
    state.order_ids[envelope.digest] = len(state.order_ids)
    state.take_book(book)
    settle(state, settlings)
    state.batch_number = max(state.batch_number, book.least_batch)
    return Accepted(
        digest=envelope.digest,
        envelope=envelope,
        proof=proof_to(appended.logged),
        new=True,
        waiting=state.book.orders.waits(envelope.digest),
    )


def ripen(state: State) -> None:
    """Put in force what waited long enough by now.

    Raises:
        StorageError: nothing came into force.
    """
    due_ms = state.book.orders.due_ms
    if due_ms is None:
        return
    unix_ms = state.now_ms()
    upto_ms = _sure_upto_ms(state, unix_ms)
    if due_ms > upto_ms:
        return
    book = state.book.ripe(upto_ms)
    with state.store.transaction() as connection:
        book, settlings, frontier = _write_effects(connection, state, book, state.frontier, unix_ms)
    state.unix_ms, state.frontier = unix_ms, frontier
    state.take_book(book)
    settle(state, settlings)


def _sure_upto_ms(state: State, unix_ms: int) -> int:
    """Up to when what is due comes into force: no veto is missing that a host still holds.

    The store may come from a backup. What became due after its newest batch, while no governor
    ran, waits until every host has spoken that still computes; what did before is in force.
    """
    if state.book.halt is not None:
        return state.resumed_unix_ms
    policy = state.book.orders.policy
    until_ms = state.opened_unix_ms + (0 if policy is None else policy.lifetime_ms)
    meanwhile = any(
        state.resumed_unix_ms < held.due_ms <= state.opened_unix_ms
        for held in state.book.orders.waiting
    )
    return state.resumed_unix_ms if meanwhile and unix_ms < until_ms else unix_ms


def _write_effects(
    connection: Connection, state: State, book: GovernorBook, frontier: Frontier, unix_ms: int
) -> tuple[GovernorBook, list[Settling], Frontier]:
    """What came into force, in the transaction that brings it there; where the log goes on."""
    if book.orders.policy is not None and book.orders.policy is not state.book.orders.policy:
        write_caps(connection, caps_of(book.orders.policy))
    clusters = state.clusters
    for verified in book.cluster_rulings[len(state.book.cluster_rulings) :]:
        if isinstance(verified.order, ClusterRuling):
            clusters = rule(clusters, verified.order, verified.digest)
    moved = write_clusters(connection, state.clusters.merges, clusters, ())
    frontier = state.log_merges(connection, frontier, moved, unix_ms)
    settlings: list[Settling] = []
    for verified in book.ruled[len(state.book.ruled) :]:
        try:
            settlings.append(carry_out(connection, state, verified, unix_ms))
        except HistoryError as error:
            # It waited, and what it was signed for is there no more: nor after the next start.
            note_done(connection, verified.digest, unix_ms)
            book = book.let_fall(verified.digest, error.code, error.detail)
    return book, settlings, frontier


def _check_ruling(state: State, envelope: Envelope) -> None:
    """Names that nobody declared are refused now, not when the ruling comes into force."""
    order = decode_order(envelope.payload_type, envelope.payload)
    if isinstance(order, ClusterRuling):
        check_ruling(state.clusters, order)


def _check_in_time(state: State, envelope: Envelope) -> None:
    """A veto of what is in force would look like success and stop nothing."""
    order = decode_order(envelope.payload_type, envelope.payload)
    if not isinstance(order, Veto) or state.book.orders.waits(order.order_digest) is not None:
        return
    with state.store.transaction() as connection:
        late = _stored(connection, order.order_digest) is not None
    if late and order.order_digest not in {fallen.digest for fallen in state.book.orders.fallen}:
        raise HistoryError(
            f"order {order.order_digest.hex()[:16]} is in force",
            code="veto.late",
            remedy="Sign a pause: one officer's is enough.",
        )


def found(store: Store, root: Envelope) -> None:
    """Write the first trust root into an empty store.

    Raises:
        PeerError: the root does not carry its own threshold.
        StorageError: it was not written.
    """
    GovernorBook.first(root)
    with store.transaction() as connection:
        # The first root needs no log entry: its digest is pinned in every join token.
        _write(connection, root, None, 0)


def orders_for(state: State, hosts: list[Host] | None) -> list[pb.SignedOrder]:
    """What hosts must hold: roots, delegations, policy, resumes, and pauses that concern them.

    Args:
        state: of the writer.
        hosts: ``None`` stands for all.
    """
    ripen(state)
    book = state.book
    envelopes = [*book.roots, *book.still_told, *(held.envelope for held in book.orders.waiting)]
    envelopes += book.delegations(state.permit_id)
    if book.orders.policy_order is not None:
        envelopes.append(book.orders.policy_order.envelope)
    # A host that was away may hold a pause that was lifted: only the resume itself ends that.
    envelopes += book.resumes
    envelopes += [
        held.envelope
        for held in book.orders.pauses
        if hosts is None or any(concerns_host(held.pause, host.scopes) for host in hosts)
    ]
    # As they were accepted: each was signed under the root of its day.
    envelopes.sort(key=lambda envelope: state.order_ids[envelope.digest])
    envelopes = [one for one in envelopes if one.payload_type not in OF_GOVERNORS]
    return [pb.SignedOrder(envelope=envelope_to_wire(envelope)) for envelope in envelopes]


def concerned(state: State, envelope: Envelope, linked: set[bytes]) -> set[bytes] | None:
    """Linked hosts that an order is for; ``None`` for all of them."""
    order = decode_order(envelope.payload_type, envelope.payload)
    if envelope.payload_type in OF_GOVERNORS:
        return set()
    if not isinstance(order, Pause) or order.scope.kind in (
        ScopeKind.EVERYTHING,
        ScopeKind.WORKLOAD,
    ):
        return None
    state.know(linked)
    return {
        host_id
        for host_id in linked
        if host_id in state.hosts and concerns_host(order, state.hosts[host_id].host.scopes)
    }


def _write(connection: Connection, envelope: Envelope, logged: Logged | None, unix_ms: int) -> None:
    proof = b"" if logged is None else proof_to(logged).SerializeToString()
    _NEW_ORDER.run(
        connection,
        [
            {
                "digest": envelope.digest,
                "envelope": envelope_to_wire(envelope).SerializeToString(),
                "accepted_unix_ms": unix_ms,
                "log_proof": proof,
            }
        ],
    )


def _stored(connection: Connection, digest: bytes) -> pb.LogProof | None:
    rows = _PROOF.run(connection, digest=digest)
    return pb.LogProof.FromString(rows[0][0]) if rows else None
