"""Bugs in what becomes of an online key that officers revoked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.authorities.officers import OfficerOrders
from flopgate_governor import working_set
from flopgate_governor.core import exchange
from flopgate_governor.core.orders import GovernorBook, Mandate
from flopgate_governor.core.quotes import QuoteRead, read_quote
from flopgate_proto.orders.book import OrderBook
from flopgate_sim.planted.patching import Swap


def revoked_key_believed() -> tuple[Swap, ...]:
    hold = OfficerOrders._hold  # noqa: SLF001  # the bug goes where the rule is

    def lenient(self: OfficerOrders, book: OrderBook) -> None:
        hold(self, book)
        self._delegated = book.delegated

    return (Swap(OfficerOrders, "_hold", lenient),)


def revoked_key_signs() -> tuple[Swap, ...]:
    return (Swap(GovernorBook, "mandate", lambda _self, _key_id: Mandate.GIVEN),)


def numbers_stay() -> tuple[Swap, ...]:
    return (Swap(Authority, "newest_number", property(lambda one: one.quote.batch_number)),)


def revoked_permit_stays() -> tuple[Swap, ...]:
    return (Swap(Authority, "note_revoked", lambda _self, _now_ms: None),)


def revoked_permit_renewed() -> tuple[Swap, ...]:
    """A permit lasts a lifetime from the revocation, also where it would end before."""

    def renewed(self: Authority, now_ms: int) -> None:
        held, policy = self.permit, self.policy
        if held is not None and policy is not None and self.is_revoked(held.signers):
            lasts_ms = now_ms - held.made_ms + policy.lifetime_ms
            self.permit = replace(held, lifetime_ms=lasts_ms)

    return (Swap(Authority, "note_revoked", renewed),)


def disowned_refused() -> tuple[Swap, ...]:
    return (Swap(working_set, "is_disowned", lambda *_of: False),)


def disowned_granted() -> tuple[Swap, ...]:
    """What a thief gave is taken for an answer that was given."""

    def current(*of: Any, **shown: Any) -> QuoteRead:
        return replace(read_quote(*of, **shown), stale=False, disowned=False)

    return (Swap(exchange, "read_quote", current),)
