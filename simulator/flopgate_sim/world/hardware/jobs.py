"""Processes with work on chips, as the world knows them."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_sim.world.nature.engine import US_PER_MS


@dataclass(slots=True, kw_only=True)
class Job:
    """A process with a context on some chips of one host.

    Attributes:
        drain_us: its queues go on so long after a freeze; ``None``: persistent kernels, which run
            until the process is dead.
        busy_percent: part of the chip's cycles that its compute pipes work.
        period_us, work_us: it works only in the first part of each period; 0: all the time.
        spinning: it spins on the network: SMs active, no compute pipe.
        death_us: from the kill until it is gone.
        forks: when it is frozen it leaves a child that goes on, so often.
        start_us: world time.
        last_work_us: last moment at which it worked.
        woken_us: when somebody with root let it go on behind the gate's back.
    """

    pid: int
    chips: tuple[int, ...]
    start_us: int
    drain_us: int | None = 50 * US_PER_MS
    busy_percent: int = 80
    period_us: int = 0
    work_us: int = 0
    spinning: bool = False
    death_us: int = 20 * US_PER_MS
    forks: int = 0
    frozen_us: int | None = None
    gone_us: int | None = None
    last_work_us: int = 0
    woken_us: int = 0

    def end_us(self) -> int | None:
        """World time at which its work ends, as things stand; ``None``: never."""
        end_us = self.gone_us
        if self.frozen_us is not None and self.drain_us is not None:
            drained_us = self.frozen_us + self.drain_us
            end_us = drained_us if end_us is None else min(end_us, drained_us)
        return end_us

    def alive(self, now_us: int) -> bool:
        """Whether the process is there."""
        return self.gone_us is None or now_us < self.gone_us

    def work(self, from_us: int, to_us: int) -> tuple[int, int]:
        """Time at work in an interval, and the last moment of it (0 without work)."""
        end_us = self.end_us()
        until_us = to_us if end_us is None else min(to_us, end_us)
        since_us = max(from_us, self.start_us)
        if until_us <= since_us or not self.busy_percent:
            return 0, 0
        if not self.period_us:
            return until_us - since_us, until_us
        worked_us = self._bursts(until_us) - self._bursts(since_us)
        rest_us = (until_us - self.start_us) % self.period_us
        return worked_us, until_us - max(0, rest_us - self.work_us) if worked_us else 0

    def _bursts(self, at_us: int) -> int:
        whole, rest_us = divmod(at_us - self.start_us, self.period_us)
        return whole * self.work_us + min(rest_us, self.work_us)
