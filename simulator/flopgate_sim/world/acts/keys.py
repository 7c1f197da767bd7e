"""Officers replace an online key.

Another one is delegated, the governor starts with it, the former is revoked: in this order no job
stops. In an emergency the revocation comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from flopgate_governor.core.orders import Mandate
from flopgate_proto.envelope import Envelope
from flopgate_sim.world.governors.governor import Governor
from flopgate_sim.world.nature.engine import US_PER_S

if TYPE_CHECKING:
    from flopgate_sim.world.world import World

AGAIN_US = 10 * US_PER_S
"""Officers look whether a step was done, and do it again."""
LOOKS_US = 60 * US_PER_S
"""Afterwards: a backup may lack what they signed."""

Step = Callable[[], bool]


class KeyReplacement:
    """One online key follows another; each step is done again until it is.

    ``span_us``: between two steps.
    """

    def __init__(self, world: World, governor: Governor, span_us: int) -> None:
        officers = governor.officers
        self._world = world
        self._governor = governor
        self._span_us = span_us
        self._former, self._next = officers.permit, officers.next_permit()
        self._delegation = officers.delegation(self._next, world.plan.delegation_span_ms)
        self._revocation = officers.revocation(self._former)
        self._orders: list[Envelope] = []

    def start(self, *, emergency: bool) -> None:
        """Officers begin."""
        revoke, delegate, install = self._revoke, self._delegate, self._install
        steps: list[Step] = [revoke, delegate, install]
        self._go(steps if emergency else [delegate, install, revoke])

    def _go(self, steps: list[Step]) -> None:
        after = self._world.engine.after
        if not steps:
            after(LOOKS_US, "officers", self._look)
        elif steps[0]():
            after(self._span_us, "officers", partial(self._go, steps[1:]))
        else:
            after(AGAIN_US, "officers", partial(self._go, steps))

    def _bring(self, order: Envelope) -> None:
        if order not in self._orders:
            self._orders.append(order)
        for one in self._orders:
            self._governor.order(one)

    def _mandate(self, key_id: str) -> Mandate | None:
        state = self._governor.state
        return None if state is None else state.book.mandate(key_id)

    def _delegate(self) -> bool:
        self._bring(self._delegation)
        return self._mandate(self._next.key_id) is Mandate.GIVEN

    def _install(self) -> bool:
        if not self._delegate():
            return False
        self._governor.officers.permit = self._next
        self._governor.restart_soon("starts with its next key", US_PER_S)
        return True

    def _revoke(self) -> bool:
        self._bring(self._revocation)
        self._governor.officers.stolen.append(self._former)
        return self._mandate(self._former.key_id) is Mandate.REVOKED

    def _look(self) -> None:
        newest = self._governor.officers.permit is self._next
        if newest and self._mandate(self._next.key_id) is Mandate.MISSING:
            self._bring(self._delegation)
        if newest:
            self._world.engine.after(LOOKS_US, "officers", self._look)
