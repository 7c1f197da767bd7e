"""When a stop that does not succeed becomes a kill, how often it is tried again, and told. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flopgate_agent.gate.lanes.chip_meter import ChipMeter

REKILL_MS, REKILL_LATER_MS = 500, 2_000
"""Between two attempts to kill what survived the first, and once `STUBBORN_MS` did not help."""
RELOOK_MS: Final = 10_000
"""The same where no process is left to kill, yet stillness cannot be shown."""
STUBBORN_MS: Final = 10_000
"""A stop is watched closely for so long; what does not stand by then is mostly a chip that cannot
be read, and stays so."""
RETELL_MS: Final = 60_000
"""Between two alerts of one stop that does not succeed."""

NEWCOMER_DRAIN_MS: Final = 600
"""Time to stand still for a job that started without permission: some looks, no more."""
LOOKS_MIN: Final = 2
"""The first look after a freeze may still see what drains; without another nobody can tell."""


class Looks:
    """Those at a lane's chips since it was frozen. A host may have no time for its sampler."""

    def __init__(self, chips: Iterable[ChipMeter]) -> None:
        self._chips = tuple(chips)
        self._count = self._covered_ms = 0

    def begin(self) -> None:
        """It is frozen now."""
        self._count, self._covered_ms = 0, self._looked_ms

    def enough(self) -> bool:
        """Whether they tell by now what stands; to be asked at each."""
        if self._looked_ms > self._covered_ms:
            self._count, self._covered_ms = self._count + 1, self._looked_ms
        return self._count >= LOOKS_MIN

    @property
    def _looked_ms(self) -> int:
        return min((chip.covered_until_ms for chip in self._chips), default=0)


def again_after_ms(tried_ms: int, *, left: bool) -> int:
    """Until the next attempt.

    Args:
        tried_ms: since the freeze.
        left: whether a process is known that could be killed.
    """
    if not left:
        return RELOOK_MS
    return REKILL_MS if tried_ms < STUBBORN_MS else REKILL_LATER_MS
