"""How late a governor may say that it is, for law 10: as its two clocks together bear out.

Lenient where the rig cannot know when the governor looked: how long its wall clock stood somewhere
is summed over all times at which it stood there.
"""

from __future__ import annotations

from flopgate_sim.world.nature.clocks import Clocks

FOLLOWED_MS = 600_000
"""A wall clock that stood where it is for so long, within one boot, may be believed."""
SLACK_MS = 2_000
"""A second at which nobody looks twice, and one to which a clock may have crept before."""


class TimeTruth:
    """The clocks of one governor's machine, as the world knows them.

    Offsets are how far its wall clock is ahead of the true time, ms.
    """

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._since_unix_ms = clocks.true_unix_ms
        self._stood_ms: dict[int, int] = {}
        self._founded = False
        self._offsets_ms: set[int] = set()
        self._told_unix_ms = 0
        self._batch = b""

    def booted(self) -> None:
        """The boot clock begins anew."""
        self._since_unix_ms = self._clocks.true_unix_ms
        self._stood_ms = {}
        self._offsets_ms = set()
        self.unfounded()

    def unfounded(self) -> None:
        """Its store knows nothing of this boot: the next start believes the wall clock."""
        self._founded = False

    def starts(self) -> None:
        """The process tries to start."""
        if not self._founded:
            self._offsets_ms.add(self._clocks.wall_offset_ms)

    def started(self, batch: bytes) -> None:
        """It serves, from the batch with this digest on: from now on its store knows."""
        self._founded = True
        self._batch = batch

    def step_wall(self, by_ms: int) -> None:
        """Somebody sets the wall clock."""
        self._count()
        self._clocks.wall_offset_ms += by_ms

    def _count(self) -> None:
        offset_ms, now_unix_ms = self._clocks.wall_offset_ms, self._clocks.true_unix_ms
        stood_ms = self._stood_ms.get(offset_ms, 0) + now_unix_ms - self._since_unix_ms
        self._stood_ms[offset_ms], self._since_unix_ms = stood_ms, now_unix_ms
        if stood_ms >= FOLLOWED_MS:
            self._offsets_ms.add(offset_ms)

    def unfit(self, told_unix_ms: int, batch: bytes, signed_unix_ms: int) -> list[str]:
        """What is wrong with the times of the newest answer that left, and of the newest batch.

        They differ: what was signed before a crash may leave long after it. ``batch``: digest of
        the newest; its number tells less: a reconciliation moves that and signs none.
        """
        if told_unix_ms <= self._told_unix_ms and batch == self._batch:
            return []
        self._count()
        found: list[str] = []
        now_unix_ms = self._clocks.true_unix_ms
        # What was told once stays the least.
        most_unix_ms = max(now_unix_ms + max(self._offsets_ms) + SLACK_MS, self._told_unix_ms)
        if told_unix_ms > most_unix_ms:
            over_ms = told_unix_ms - most_unix_ms
            found.append(f"tells a time {over_ms} ms beyond what its clocks bear out")
        least_unix_ms = now_unix_ms + min(self._offsets_ms) - SLACK_MS
        if batch != self._batch and signed_unix_ms < least_unix_ms:
            under_ms = least_unix_ms - signed_unix_ms
            found.append(f"signs a time {under_ms} ms before what its clocks bear out")
        self._told_unix_ms, self._batch = told_unix_ms, batch
        return found
