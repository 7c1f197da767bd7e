"""Waiting times between attempts: exponential, with full jitter."""

from __future__ import annotations

import random
from typing import Final

BASE_MS: Final = 200


class Backoff:
    """Draws each wait evenly between nothing and a bound that doubles from attempt to attempt.

    Full jitter, so that a cluster's couriers do not come back to a restarted authority together.

    Args:
        max_ms: the bound never grows above this, at least 1.
        source: of randomness.
    """

    __slots__ = ("_bound_ms", "_max_ms", "_source")

    def __init__(self, max_ms: int, source: random.Random) -> None:
        self._max_ms = max_ms
        self._source = source
        self._bound_ms = min(BASE_MS, max_ms)

    def next_ms(self) -> int:
        """How long to wait before the next attempt, 1 to ``max_ms``."""
        wait_ms = self._source.randint(1, self._bound_ms)
        self._bound_ms = min(self._bound_ms * 2, self._max_ms)
        return wait_ms

    def reset(self) -> None:
        """An attempt succeeded."""
        self._bound_ms = min(BASE_MS, self._max_ms)
