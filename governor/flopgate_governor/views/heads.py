"""Authorities of the same hosts compare the heads of their chains (law 4): one history, one head.

An export is a JSON file: the authority's orders from its first trust root on, so that whoever pins
that root finds the permit key, and statements of heads under that key. Of one sequence of a host
there is one report: another digest is a second history. Equal heads have equal books.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, bindparam, select

from flopgate_governor.core.orders import GovernorBook, Mandate
from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query
from flopgate_proto.codec import PayloadType, decode_heads, encode_heads
from flopgate_proto.codec.transport import (
    envelope_from_object,
    envelope_from_wire,
    envelope_to_object,
    parse_message,
)
from flopgate_proto.envelope import Envelope, seal, verify
from flopgate_proto.errors import ForgedError, MalformedError, MisdirectedError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.signers import signers_of
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.heads import Head, Heads

HEADS_PER_STATEMENT: Final = 1_500
"""A statement of so many heads stays below the limit of a payload."""
_LONG_MS: Final = 365 * 86_400_000
"""Longer than any delay: what the other authority has in force is in force here."""

_H, _L, _B, _R = schema.host.c, schema.lane.c, schema.lane_beside.c, schema.report.c
_HEADS: Final = Query(
    select(_H.host_id, _H.sequence, _H.head)
    .where(_H.sequence > bindparam("above"))
    .order_by(_H.host_id)
)
# Summed here and not by SQLite, whose sums are of 64 bits: a host may tell the highest count twice.
_LANES: Final = Query(
    select(
        _L.host_id, _L.allotted_tflop, _L.unaccounted_tflop, _B.spent_tflop, _B.silent_tflop
    ).outerjoin(schema.lane_beside, and_(_B.host_id == _L.host_id, _B.workload == _L.workload))
)
_OWN: Final = Query(
    select(_H.sequence, _H.head, _H.enrolled_sequence).where(_H.host_id == bindparam("host"))
)
_AT: Final = Query(
    select(_R.digest).where(_R.host_id == bindparam("host"), _R.sequence == bindparam("sequence"))
)


_OF_KEYS: Final = frozenset({PayloadType.REVOCATION})
_ORDERS: Final = Query(select(schema.order.c.envelope).order_by(schema.order.c.id))


class Verdict(enum.StrEnum):
    """What two authorities make of one host."""

    SAME = "same"
    DIFFERENT_BOOKS = "different books"
    TWO_HISTORIES = "two histories"
    UNSEEN = "not seen here yet"
    UNKNOWN = "not followed here"
    UNNAMED = "not named there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One host: the other authority's head, if it names one, and what stands here in its place."""

    host_id: bytes
    sequence: int
    verdict: Verdict
    theirs: bytes = b""
    ours: bytes = b""


def own_heads(state: State) -> list[Head]:
    """The newest report of each host on record, with both books of all its lanes."""
    with state.store.transaction() as connection:
        rows = _HEADS.run(connection, above=0)
        lanes = _LANES.run(connection)
    books: dict[bytes, list[int]] = {}
    for host_id, allotted, unaccounted, spent, silent in lanes:
        held = books.setdefault(host_id, [0, 0])
        # What reports told: how a chain ended here is not the other authority's to know.
        held[0] += allotted - (spent or 0)
        held[1] += unaccounted - (silent or 0)
    heads = []
    for host_id, sequence, head in rows:
        allotted, unaccounted = books.get(host_id, (0, 0))
        heads.append(
            Head(
                host_id=host_id,
                sequence=sequence,
                head=head,
                allotted_tflop=min(allotted, COUNT_MAX),
                unaccounted_tflop=min(unaccounted, COUNT_MAX),
            )
        )
    return heads


def export(state: State) -> str:
    """All heads, signed, with what another authority needs to verify them.

    Raises:
        HistoryError: officers revoked the key that would sign.
    """
    state.book.check_signs(state.permit_id)
    heads, unix_ms = own_heads(state), state.now_ms()
    statements = [
        seal(
            PayloadType.HEADS,
            encode_heads(
                Heads(
                    authority=state.authority,
                    governor_unix_ms=unix_ms,
                    heads=tuple(heads[first : first + HEADS_PER_STATEMENT]),
                )
            ),
            [state.permit],
        )
        for first in range(0, max(1, len(heads)), HEADS_PER_STATEMENT)
    ]
    document = {
        "orders": [envelope_to_object(one) for one in _trusted(state)],
        "heads": [envelope_to_object(one) for one in statements],
    }
    return json.dumps(document, indent=1) + "\n"


def _trusted(state: State) -> list[Envelope]:
    book = state.book
    envelopes = [*book.roots, *(one for one in book.still_told if one.payload_type in _OF_KEYS)]
    if book.orders.policy_order is not None:
        envelopes.append(book.orders.policy_order.envelope)
    envelopes += book.delegations(state.permit_id)
    if book.lost:
        envelopes += _reconciliations(state)
    return sorted(envelopes, key=lambda envelope: state.order_ids[envelope.digest])


def _reconciliations(state: State) -> list[Envelope]:
    """Why batches of ours may stand in two rows."""
    with state.store.transaction() as connection:
        rows = _ORDERS.run(connection)
    orders = [envelope_from_wire(parse_message(pb.Envelope(), row[0])) for row in rows]
    return [one for one in orders if one.payload_type == PayloadType.RECONCILIATION]


def read_export(text: str, *named: bytes) -> list[Heads]:
    """Heads that another authority signed.

    Args:
        text: its export.
        named: digests of its trust roots, from another source than the file: the newest, at least.
            Officers of a root before the first that is named let nobody sign.

    Raises:
        PeerError: it is no export, or not of that authority.
    """
    try:
        document: Any = json.loads(text)
        orders = [envelope_from_object(one) for one in document["orders"]]
        signed = [envelope_from_object(one) for one in document["heads"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MalformedError(
            "not an export of heads",
            code="heads.malformed",
            remedy="Take the file that `flopgate-governor heads export` wrote.",
        ) from error
    if not orders:
        raise MalformedError("an export without a trust root", code="heads.malformed")
    signers = signers_of(orders, named)
    book = GovernorBook.first(orders[0])
    for number, order in enumerate(orders[1:], start=1):
        # These come along for whoever compares roots of batches.
        if order.payload_type != PayloadType.RECONCILIATION:
            book = book.accept(order, number * _LONG_MS)
    book = book.ripe((len(orders) + 1) * _LONG_MS)
    keys = {
        key_id: key for key_id, key in signers.keys.items() if book.mandate(key_id) is Mandate.GIVEN
    }
    if not keys:
        raise ForgedError(
            "its officers let no key sign",
            code="heads.delegation",
            remedy="Name earlier trust roots, too, for what their officers let sign.",
        )
    return [_heads(one, book.authority, keys) for one in signed]


def _heads(envelope: Envelope, authority: str, keys: Mapping[str, VerifyingKey]) -> Heads:
    verified = verify(envelope, PayloadType.HEADS, keys)
    heads = decode_heads(verified.payload)
    if heads.authority != authority:
        raise MisdirectedError(f"heads of {heads.authority!r}", code="heads.authority")
    return heads


def compare(state: State, others: Iterable[Heads]) -> Iterator[Compared]:
    """Hold another authority's heads against our own records.

    Of ours that it does not name, it follows none, or who carries the file left them out.
    """
    others = list(others)
    named = {head.host_id for one in others for head in one.heads}
    books = {head.host_id: head for head in own_heads(state)}
    with state.store.transaction() as connection:
        for theirs in (head for one in others for head in one.heads):
            found = _OWN.run(connection, host=theirs.host_id)
            at = _AT.run(connection, host=theirs.host_id, sequence=theirs.sequence)
            ours = bytes(at[0][0]) if at else b""
            yield Compared(
                host_id=theirs.host_id,
                sequence=theirs.sequence,
                verdict=_judge(theirs, ours, found, books.get(theirs.host_id)),
                theirs=theirs.head,
                ours=ours,
            )
    for own in books.values():
        if own.host_id not in named:
            yield Compared(
                host_id=own.host_id,
                sequence=own.sequence,
                verdict=Verdict.UNNAMED,
                ours=own.head,
            )


def _judge(theirs: Head, ours: bytes, found: list[Any], own: Head | None) -> Verdict:
    if not found or theirs.sequence <= found[0][2]:
        return Verdict.UNKNOWN
    if theirs.sequence > found[0][0]:
        return Verdict.UNSEEN
    if ours != theirs.head:
        return Verdict.TWO_HISTORIES
    if own is not None and own.sequence == theirs.sequence:
        told = (theirs.allotted_tflop, theirs.unaccounted_tflop)
        if told != (own.allotted_tflop, own.unaccounted_tflop):
            return Verdict.DIFFERENT_BOOKS
    return Verdict.SAME
