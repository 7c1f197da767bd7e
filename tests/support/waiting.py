"""Waits of tests: for a condition, with a bound that only a broken program reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

WAIT_S: Final = 240.0
"""Below the bound of a whole test (`timeout` in pyproject.toml): what was waited for is told. A
process takes 20 s to come up where many times as many want the cores as there are."""
POLL_S: Final = 0.02


def until(
    condition: Callable[[], object], what: str | Callable[[], str], wait_s: float = WAIT_S
) -> None:
    """Wait for it; ``what`` is told of a wait in vain, as things stand then."""
    end_s = time.monotonic() + wait_s
    while not condition():
        if time.monotonic() >= end_s:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"waited in vain: {told}")
        time.sleep(POLL_S)
