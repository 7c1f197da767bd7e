"""Bugs of what verifies and keeps officers' orders, on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flopgate_agent.gate import gate_state
from flopgate_agent.gate.authorities import seats
from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.authorities.officers import OfficerOrders
from flopgate_agent.gate.lifecycle import enrolling
from flopgate_governor import working_set
from flopgate_governor.core import exchange
from flopgate_governor.core.pauses import pauses_for
from flopgate_proto import trust
from flopgate_proto.envelope import Envelope, Verified, pae, statement_digest
from flopgate_proto.errors import ForgedError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.orders import book
from flopgate_proto.orders.book import GATE, OrderBook
from flopgate_proto.orders.held import LatchedPause
from flopgate_sim.planted.patching import Swap

INSTANT_MS: Final = 2_000
"""What officers do at once comes by links that take their time."""


def signatures_counted() -> tuple[Swap, ...]:
    """Two officers with one key."""

    def counting(
        envelope: Envelope, kind: str, keys: Mapping[str, VerifyingKey], threshold: int = 1
    ) -> Verified:
        message = pae(kind, envelope.payload)
        good = 0
        for signature in envelope.signatures:
            if signature.key_id in keys:
                keys[signature.key_id].verify(signature.sig, message)
                good += 1
        return _counted(envelope, kind, good, threshold)

    everyone = frozenset(f"officer-{number}" for number in range(9))
    return (
        Swap(trust, "verify", counting),
        Swap(trust.Trust, "officers", lambda _self, _signers: everyone),
    )


def approvals_unbound() -> tuple[Swap, ...]:
    """Approval of other bytes."""

    def lenient(
        envelope: Envelope, kind: str, keys: Mapping[str, VerifyingKey], threshold: int = 1
    ) -> Verified:
        named = [one for one in envelope.signatures if one.key_id in keys]
        keys[named[0].key_id].verify(named[0].sig, pae(kind, envelope.payload))
        return _counted(envelope, kind, len({one.key_id for one in named}), threshold)

    return (Swap(trust, "verify", lenient),)


def authority_by_name() -> tuple[Swap, ...]:
    """What the officers sign for a rehearsal of the same name counts."""
    return (Swap(trust.Trust, "check_whose", lambda *_arguments: None),)


def _counted(envelope: Envelope, kind: str, good: int, threshold: int) -> Verified:
    if good < threshold:
        raise ForgedError("too few", code="envelope.quorum")
    signers = frozenset(one.key_id for one in envelope.signatures)
    digest = statement_digest(kind, envelope.payload)
    return Verified(kind, envelope.payload, digest, signers)


def loosened_at_once() -> tuple[Swap, ...]:
    """What loosens does not wait."""
    return (Swap(book, "loosened", lambda *_arguments: ()),)


def unnamed_policy_believed() -> tuple[Swap, ...]:
    """Whatever policy the courier brought counts as named, by the admission too."""
    named = OfficerOrders._changed  # noqa: SLF001  # the bug goes where the rule is

    def believing(self: OfficerOrders) -> None:
        self._said_policy = b"" if self.orders is None else self.orders.policy_digest
        named(self)

    unchecked = Swap(enrolling, "_check_in_force", lambda *_arguments: None)
    return (Swap(OfficerOrders, "_changed", believing), unchecked)


def held_orders_kept() -> tuple[Swap, ...]:
    """A gate hands nothing back."""
    return (Swap(OfficerOrders, "held_orders", lambda *_arguments: []),)


def pauses_of_before() -> tuple[Swap, ...]:
    """A batch is decided by the pauses of the batch before it."""
    take = pauses_for
    before: dict[str, tuple[LatchedPause, ...]] = {}

    def late(pauses: Any, scopes: Any, workloads: Any) -> Any:
        return take(before.get("told", pauses), scopes, workloads)

    judge = working_set.Work.settle_state

    def settled(self: Any, sealed: Any) -> None:
        judge(self, sealed)
        before["told"] = self.book.orders.pauses

    return (Swap(exchange, "pauses_for", late), Swap(working_set.Work, "settle_state", settled))


def one_pause_an_instant() -> tuple[Swap, ...]:
    """A pause is not latched where another came in the same instant."""
    take = OrderBook._take_pause  # noqa: SLF001  # the bug goes where the rule is

    def careless(self: OrderBook, pause: Any, verified: Any, since_ms: int) -> OrderBook:
        held = any(since_ms - one.since_ms <= INSTANT_MS for one in self.pauses)
        return self if held and self.side is GATE else take(self, pause, verified, since_ms)

    return (Swap(OrderBook, "_take_pause", careless),)


def live_pause_gives_way() -> tuple[Swap, ...]:
    """An officer's next pause pushes out one of his that stands."""
    return (
        Swap(book, "PAUSES_OF_ONE_MAX", 1),
        Swap(book, "lapsed", lambda *_pause: True),
    )


def demoted_by_another() -> tuple[Swap, ...]:
    """One authority's word is enough to take another's."""

    def one_is_enough(authorities: Iterable[Authority], _running_ms: int) -> list[Authority]:
        known = list(authorities)
        return [one for one in known if all(by.keeps_say_of(one.name) for by in known)]

    return (Swap(gate_state, "ruling", one_is_enough),)


def fallback_at_once() -> tuple[Swap, ...]:
    """A fallback counts from its arrival."""

    def signed(self: Authority, _running_ms: int) -> bool:
        return self.seats is not None and self.seats.fallback_ms > 0

    return (Swap(Authority, "gave_way", signed),)


def fallback_for_good() -> tuple[Swap, ...]:
    """Who fell silent once never rules again."""
    gave_way = Authority.gave_way
    fallen: set[int] = set()

    def remembered(self: Authority, running_ms: int) -> bool:
        if gave_way(self, running_ms):
            fallen.add(id(self))
        return id(self) in fallen

    return (Swap(Authority, "gave_way", remembered),)


def fallback_of_another() -> tuple[Swap, ...]:
    """Whoever is silent falls by a fallback that anybody signed."""

    def anybodys(authority: Authority, known: Sequence[Authority], running_ms: int) -> bool:
        signed = [one.seats.fallback_ms for one in known if one.seats is not None]
        heard_ms, spans_ms = authority.heard_running_ms, list(filter(None, signed))
        if heard_ms is None or not spans_ms or running_ms < heard_ms + min(spans_ms):
            return False
        others = [by for by in known if by is not authority]
        return not any(by.keeps_say_of(authority.name) for by in others)

    return (Swap(seats, "fell", anybodys),)
