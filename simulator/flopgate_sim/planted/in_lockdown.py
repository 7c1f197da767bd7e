"""Bugs of the lock-down, and of the terms that it goes by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flopgate_agent.gate import leasing
from flopgate_agent.lockdown import deciding
from flopgate_sim.planted.patching import Swap


def never_locked_down() -> tuple[Swap, ...]:
    return (Swap(deciding, "due", lambda *_terms, **_at: deciding.NOTHING),)


def term_prolonged() -> tuple[Swap, ...]:
    term = leasing.Leasing._term  # noqa: SLF001  # the bug goes where the rule is

    def later(self: leasing.Leasing, *of: Any) -> Any:
        found = term(self, *of)
        return replace(found, kill_at_ms=found.kill_at_ms + 60_000)

    return (Swap(leasing.Leasing, "_term", later),)
