"""Which worlds of a campaign are shown: those that broke a law first, then the lowest seeds."""

from __future__ import annotations

from bisect import insort
from dataclasses import replace
from typing import Final

from flopgate_sim.campaign.worker import Done

PICKED_MAX: Final = 10


class Picks:
    """Keeps what may be shown; of everything else nothing stays."""

    def __init__(self) -> None:
        self._broke: list[Done] = []
        self._held: list[Done] = []

    def add(self, done: Done) -> None:
        """Consider one."""
        kept = self._held if done.outcome.breach is None else self._broke
        insort(kept, done, key=_seed)
        del kept[PICKED_MAX:]

    @property
    def picked(self) -> list[Done]:
        """At most `PICKED_MAX`, breaches first, each kind by seed."""
        return [*self._broke, *self._held][:PICKED_MAX]

    def put(self, done: Done) -> bool:
        """Take the recorded run of one that was picked; ``False`` when it went another way."""
        for kept in (self._broke, self._held):
            for index, one in enumerate(kept):
                if one.job == replace(done.job, recording=one.job.recording):
                    kept[index] = done
                    return one.outcome.trace_digest == done.outcome.trace_digest
        return False


def _seed(done: Done) -> int:
    return done.job.seed
