"""Orders of officers as they come in, and as those that waited come into force."""

from __future__ import annotations

from collections.abc import Iterable

from flopgate_agent.gate.actions import Action, KeepOrder, Tell
from flopgate_agent.gate.authority import Authority
from flopgate_agent.gate.seats import changes
from flopgate_proto.envelope import Envelope
from flopgate_proto.trust import VerifiedOrder


def keep(authority: Authority, envelope: Envelope, running_ms: int) -> KeepOrder:
    """Write an order down, with the gate running time from which its spans count."""
    return KeepOrder(
        authority=authority.name,
        digest=envelope.digest,
        envelope=envelope,
        first_seen_running_ms=running_ms,
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
    told = [_tell(authority, verified) for verified in taken.came]
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
            actions.append(_tell(authority, verified))
    return [*actions, *changes(known, running_ms)]


def due_ms(authorities: Iterable[Authority], *, now_ms: int, running_ms: int) -> list[int]:
    """Host elapsed times at which an order, or a fallback that was signed, comes into force."""
    known = list(authorities)
    due = [one.due_running_ms() for one in known]
    falls = [one.falls_running_ms() for one in known]
    due += [one for one in falls if one is not None and one > running_ms]
    return [now_ms + one - running_ms for one in due if one is not None]


def _tell(authority: Authority, verified: VerifiedOrder, *, waits: bool = False) -> Tell:
    kind = type(verified.order).__name__.lower()
    event = f"order.waits.{kind}" if waits else f"order.{kind}"
    return Tell(event=event, subject=authority.name, detail=verified.digest.hex())
