"""Our record of the answers that the reports of a batch quote, and proof of those we lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy import Connection

from flopgate_governor.core.facts import Chain, IssuedAnswer
from flopgate_governor.core.quotes import Numbering, is_signed, own_quote, proves_loss
from flopgate_governor.receive import Received
from flopgate_governor.state import State
from flopgate_governor.store import records
from flopgate_proto.codec import envelope_from_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import PeerError
from flopgate_proto.limits import QUOTES_MAX
from flopgate_proto.values.reports import Quote


def unknown_numbers(
    received: list[Received], quoted: dict[tuple[bytes, bytes], IssuedAnswer], authority: str
) -> set[int]:
    """Batches of which answers are quoted that we have no record of; mostly none."""
    quotes = [(item.host_id, own_quote(item.report, authority)) for item in received]
    return {
        quote.batch_number
        for host_id, quote in quotes
        if quote is not None
        and quote.answer_digest
        and (host_id, quote.answer_digest) not in quoted
    }


def quotable(
    connection: Connection,
    received: list[Received],
    chains: dict[bytes, Chain],
    authority: str,
) -> dict[tuple[bytes, bytes], IssuedAnswer]:
    """Our record of every answer that this batch may quote; most are the newest of their host."""
    known = {
        (host_id, answer.digest): answer
        for host_id, chain in chains.items()
        for answer in (chain.facts.issued, chain.facts.quoted)
    }
    read: set[tuple[bytes, int]] = set()
    for item in received:
        quote = own_quote(item.report, authority)
        if quote is None or (item.host_id, quote.answer_digest) in known:
            continue
        # Each batch is read once: a host may quote a thousand answers that it was never given.
        batch = (item.host_id, quote.batch_number)
        if not quote.answer_digest or batch in read:
            continue
        read.add(batch)
        facts = chains[item.host_id].facts
        for issued in records.load_issued(connection, facts, quote.batch_number):
            known[item.host_id, issued.digest] = issued
    return known


def shows_loss(item: Received, quote: Quote, state: State, numbering: Numbering) -> bool:
    """Whether a root beside the report proves that our store lost the answer that it quotes."""
    keys = state.book.answer_keys(state.permit.spki)
    return any(proves_loss(root, quote, keys, numbering) for root in _roots(item))


def is_disowned(item: Received, quote: Quote, state: State) -> bool:
    """Whether a root beside the report shows that a revoked key signed what it quotes."""
    keys = state.book.revoked_keys
    return bool(keys) and any(is_signed(root, quote, keys) for root in _roots(item))


def _roots(item: Received) -> Iterator[Envelope]:
    for wire in item.signed.quoted_roots[:QUOTES_MAX]:
        with suppress(PeerError):
            yield envelope_from_wire(wire)
