"""Bugs of a host that is taken out of service."""

from __future__ import annotations

from typing import Any

from flopgate_agent.gate.lifecycle.retiring import Retiring
from flopgate_sim.planted.patching import Swap


def retires_running() -> tuple[Swap, ...]:
    def at_once(self: Retiring, _lanes: Any) -> bool:
        return self.asked and not self._chain.ended  # as the rule does

    def undenied(self: Retiring, _wind_down_ms: int) -> None:
        self.asked = True

    return (Swap(Retiring, "may_end", at_once), Swap(Retiring, "_deny", undenied))


def freed_unheard() -> tuple[Swap, ...]:
    def ended(self: Retiring, *_of: Any) -> bool:
        return bool(self._chain.ended)  # as the rule does

    return (Swap(Retiring, "over", ended),)
