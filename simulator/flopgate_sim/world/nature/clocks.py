"""The clocks of one machine, as its owner may bend them: drift, steps, suspends, boots."""

from __future__ import annotations

from flopgate_sim.world.nature.engine import US_PER_MS, Engine

PPM = 1_000_000
EPOCH_UNIX_MS = 1_800_000_000_000
"""Wall time at which every world begins."""


class Clocks:
    """Boot clock and wall clock of a machine.

    The boot clock counts suspends; it runs ``drift_ppm`` too fast (or too slow, below zero).

    Attributes:
        wall_offset_ms: by how much somebody set the wall clock forward in all.
    """

    def __init__(self, engine: Engine, drift_ppm: int, booted_us: int) -> None:
        self._engine = engine
        self.drift_ppm = drift_ppm
        self.wall_offset_ms = 0
        self._slowed_ppm = 0
        self._set_us = booted_us
        self._elapsed_us = 0
        self._told = (-1, 0)

    @property
    def elapsed_ms(self) -> int:
        """Boot clock."""
        now_us = self._engine.now_us
        if self._told[0] != now_us:
            # Asked for several times in each event.
            self._told = now_us, self._elapsed(now_us) // US_PER_MS
        return self._told[1]

    def _elapsed(self, world_us: int) -> int:
        span_us = world_us - self._set_us
        return self._elapsed_us + span_us + span_us * self._pace_ppm // PPM

    @property
    def _pace_ppm(self) -> int:
        return self.drift_ppm - self._slowed_ppm

    @property
    def true_unix_ms(self) -> int:
        """What a clock would show that nobody bends, and people's watches do."""
        return EPOCH_UNIX_MS + self._engine.now_us // US_PER_MS

    @property
    def wall_unix_ms(self) -> int:
        """Wall clock: right but for drift since the world began, and steps."""
        now_us = self._engine.now_us
        drifted_us = now_us + now_us * self.drift_ppm // PPM
        return EPOCH_UNIX_MS + drifted_us // US_PER_MS + self.wall_offset_ms

    def when_us(self, elapsed_ms: int) -> int:
        """World time at which the boot clock first shows at least this."""
        wanted_us = elapsed_ms * US_PER_MS - self._elapsed_us
        pace_ppm = self._pace_ppm
        span_us = wanted_us * PPM // (PPM + pace_ppm)
        # Whole numbers round down on both ways: look a little further.
        while span_us + span_us * pace_ppm // PPM < wanted_us:
            span_us += 1
        return self._set_us + span_us

    def boot(self, elapsed_ms: int = 0) -> None:
        """The boot clock starts anew."""
        self._set_us, self._elapsed_us = self._engine.now_us, elapsed_ms * US_PER_MS
        self._told = (-1, 0)

    def slow(self, by_ppm: int) -> None:
        """Somebody holds the boot clock back from now on, beyond all drift."""
        self.boot(self.elapsed_ms)
        self._slowed_ppm = by_ppm

    def step(self, by_ms: int) -> None:
        """The boot clock jumps; what can do that has root, or restores a virtual machine."""
        self.boot(max(0, self.elapsed_ms + by_ms))
