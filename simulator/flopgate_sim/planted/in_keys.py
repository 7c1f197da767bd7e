"""Bugs in what becomes of an online key that officers revoked."""

from __future__ import annotations

from flopgate_agent.gate.authorities.officers import OfficerOrders
from flopgate_governor.core.orders import GovernorBook, Mandate
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
