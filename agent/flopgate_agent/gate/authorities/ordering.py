"""Orders of officers as they come in and into force, and what is kept of an answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from flopgate_agent.gate.actions import Action, KeepOrder, KeepQuote, Tell
from flopgate_agent.gate.authorities.authority import Authority, needless_sequence
from flopgate_agent.gate.authorities.seats import changes, entitled
from flopgate_agent.gate.memory import Moment
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.envelope import Envelope
from flopgate_proto.quick import maker
from flopgate_proto.trust import VerifiedOrder
from flopgate_proto.values import Revocation

make_keep_quote = maker(KeepQuote)


def keep(authority: Authority, envelope: Envelope, running_ms: int) -> KeepOrder:
    """Write an order down, with the gate running time from which its spans count."""
    return KeepOrder(
        authority=authority.name,
        digest=envelope.digest,
        envelope=envelope,
        first_seen_running_ms=running_ms,
    )


def keep_quote(
    authority: Authority, proven: ProvenAnswer, everyone: Collection[Authority], now: Moment
) -> KeepQuote:
    """Make durable what an answer that was taken changed."""
    return make_keep_quote(
        authority=authority.name,
        quote=authority.quote,
        acknowledged_sequence=authority.acknowledged_sequence,
        needless_sequence=needless_sequence(entitled(everyone)),
        held_sequence=needless_sequence(everyone),
        batch_root=proven.root,
        batch_digest=authority.batch_digest,
        scopes=authority.scopes,
        time=authority.time_to_keep(now),
        named_policy=authority.named_digest,
    )


def take_order(
    authority: Authority, envelope: Envelope, *, now_ms: int, running_ms: int, fresh: bool = False
) -> list[Action]:
    """Verify an order and keep it; nothing for one that is known. ``fresh`` as for the authority.

    Raises:
        PeerError: it does not hold; nothing has changed.
    """
    taken = authority.accept(envelope, running_ms, fresh=fresh)
    if taken is None:
        return []
    # What was refused may be granted now, and what is paused should be reported.
    authority.next_request_ms = now_ms
    kept = keep(authority, envelope, taken.first_seen_running_ms)
    told = [_took(authority, verified, now_ms) for verified in taken.came]
    if taken.waits is not None:
        told.append(_tell(authority, taken.waits.verified, waits=True))
    return [kept, *told]


def come_into_force(
    authorities: Iterable[Authority], *, now_ms: int, running_ms: int
) -> list[Action]:
    """What waited long enough is in force from now on."""
    actions: list[Action] = []
    known = list(authorities)
    for authority in known:
        for verified in authority.ripe(running_ms):
            authority.next_request_ms = now_ms
            actions.append(_took(authority, verified, now_ms))
    return [*actions, *changes(known, running_ms)]


def due_ms(authorities: Iterable[Authority], *, now_ms: int, running_ms: int) -> list[int]:
    """Host elapsed times at which an order, or a fallback that was signed, comes into force."""
    times_ms: list[int] = []
    for one in authorities:
        due_ms, falls_ms = one.due_running_ms, one.falls_running_ms()
        if due_ms is not None:
            times_ms.append(now_ms + due_ms - running_ms)
        if falls_ms is not None and falls_ms > running_ms:
            times_ms.append(now_ms + falls_ms - running_ms)
    return times_ms


def _took(authority: Authority, verified: VerifiedOrder, now_ms: int) -> Tell:
    if isinstance(verified.order, Revocation):
        authority.note_revoked(now_ms)
    return _tell(authority, verified)


def _tell(authority: Authority, verified: VerifiedOrder, *, waits: bool = False) -> Tell:
    kind = type(verified.order).__name__.lower()
    event = f"order.waits.{kind}" if waits else f"order.{kind}"
    return Tell(event=event, subject=authority.name, detail=verified.digest.hex())
