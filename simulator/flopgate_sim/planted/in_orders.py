"""Bugs of what verifies and keeps officers' orders, on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from flopgate_agent.gate import core as gate_core
from flopgate_agent.gate.authority import Authority
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


def _counted(envelope: Envelope, kind: str, good: int, threshold: int) -> Verified:
    if good < threshold:
        raise ForgedError("too few", code="envelope.quorum")
    signers = frozenset(one.key_id for one in envelope.signatures)
    digest = statement_digest(kind, envelope.payload)
    return Verified(kind, envelope.payload, digest, signers)


def loosened_at_once() -> tuple[Swap, ...]:
    """What loosens does not wait."""
    return (Swap(book, "loosened", lambda *_arguments: ()),)


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


def demoted_by_another() -> tuple[Swap, ...]:
    """One authority's word is enough to take another's."""

    def one_is_enough(authorities: Iterable[Authority]) -> list[Authority]:
        known = list(authorities)
        return [one for one in known if all(by.keeps_say_of(one.name) for by in known)]

    return (Swap(gate_core, "ruling", one_is_enough),)
