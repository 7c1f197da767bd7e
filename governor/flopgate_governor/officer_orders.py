"""An officers' order: accepted, logged and in force in one transaction (laws 6 and 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select

from flopgate_governor import schema
from flopgate_governor.budgets import write_caps
from flopgate_governor.core.checkpoint import Logged
from flopgate_governor.core.facts import Host
from flopgate_governor.core.orders import OrderBook, caps_of, concerns_host
from flopgate_governor.logbook import proof_to, write_log
from flopgate_governor.prepared import Query, Write
from flopgate_governor.state import State
from flopgate_governor.store import Store
from flopgate_proto.codec import decode_order, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import ScopeKind
from flopgate_proto.values.orders import Pause

_NEW_ORDER: Final = Write(
    insert(schema.order), [column.name for column in schema.order.columns if column.name != "id"]
)
_PROOF: Final = Query(
    select(schema.order.c.log_proof).where(schema.order.c.digest == bindparam("digest"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An order in force, with its place in the log. ``new`` is false for a repetition."""

    digest: bytes
    envelope: Envelope
    proof: pb.LogProof
    new: bool


def accept_order(state: State, envelope: Envelope) -> Accepted:
    """Take an order; the same order again gives the same answer.

    Raises:
        PeerError: it is not one that may be taken now.
        StorageError: it was not taken.
    """
    with state.store.transaction() as connection:
        stored = _stored(connection, envelope.digest)
    if stored is not None:
        # Only what was verified once is on record: the digest covers every signed byte.
        return Accepted(digest=envelope.digest, envelope=envelope, proof=stored, new=False)
    unix_ms = state.now_ms()
    book = state.book.accept(envelope, unix_ms)
    appended = state.appended([envelope])
    with state.store.transaction() as connection:
        write_log(connection, appended)
        _write(connection, envelope, appended.logged, unix_ms)
        if book.policy is not None and book.policy is not state.book.policy:
            write_caps(connection, caps_of(book.policy))
    state.frontier = appended.frontier
    state.take_book(book)
    state.batch_number = max(state.batch_number, book.least_batch)
    return Accepted(
        digest=envelope.digest, envelope=envelope, proof=proof_to(appended.logged), new=True
    )


def found(store: Store, root: Envelope) -> None:
    """Write the first trust root into an empty store.

    Raises:
        PeerError: the root does not carry its own threshold.
        StorageError: it was not written.
    """
    OrderBook.first(root)
    with store.transaction() as connection:
        # The first root needs no log entry: its digest is pinned in every join token.
        _write(connection, root, None, 0)


def orders_for(state: State, hosts: list[Host] | None) -> list[pb.SignedOrder]:
    """What hosts must hold: roots, delegation, policy, resumes, and pauses that concern them.

    Args:
        state: of the writer.
        hosts: ``None`` stands for all.
    """
    book = state.book
    envelopes = list(book.roots)
    if book.delegation is not None:
        envelopes.append(book.delegation.envelope)
    if book.policy_envelope is not None:
        envelopes.append(book.policy_envelope)
    # A host that was away may hold a pause that was lifted: only the resume itself ends that.
    envelopes += book.resumes
    envelopes += [
        held.envelope
        for held in book.pauses
        if hosts is None or any(concerns_host(held.pause, host.scopes) for host in hosts)
    ]
    return [pb.SignedOrder(envelope=envelope_to_wire(envelope)) for envelope in envelopes]


def concerned(state: State, envelope: Envelope, linked: set[bytes]) -> set[bytes] | None:
    """Linked hosts that an order is for; ``None`` for all of them."""
    order = decode_order(envelope.payload_type, envelope.payload)
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
