"""A simulated GPU: cumulative cycle counters, and a truth that the gate never sees.

Figures are an H100 SXM's: 132 SMs, 4096 dense 16-bit FLOP per clock and SM (NVIDIA H100 whitepaper
v1.04, table 3), run at a round 1,700 MHz. They are this file's own, not the agent's chip table.
"""

from __future__ import annotations

from collections.abc import Mapping

from flopgate_agent.counters.sample import ChipSample
from flopgate_sim.world.hardware.cutting import by_hmma

SM_COUNT = 132
CLOCK_KHZ = 1_700_000
FLOP_PER_CLOCK_PER_SM = 4096
IDLE_MW, BUSY_MW = 70_000, 650_000


class SimulatedGpu:
    """One GPU and the job on it, which computes from the start or waits for permission.

    Attributes:
        truth_flop: executed so far.
        last_work_ms: latest host time at which a kernel ran, ``None`` before the first.
    """

    def __init__(
        self, uuid: str, now_ms: int, *, share_percent: int, drain_ms: int, busy: bool = True
    ) -> None:
        self.uuid = uuid
        self.truth_flop = 0
        self.last_work_ms: int | None = None
        self._share_percent = share_percent
        self._drain_ms = drain_ms
        self._now_ms = now_ms
        self._ends_ms = None if busy else now_ms
        self._elapsed = self._busy = self._energy_mj = 0

    def kept(self) -> dict[str, object]:
        """All there is to know, for ``restored``: time passes for it meanwhile."""
        return dict(vars(self))

    @classmethod
    def restored(cls, kept: Mapping[str, object]) -> SimulatedGpu:
        """The GPU that ``kept`` told of."""
        gpu = cls.__new__(cls)
        vars(gpu).update(kept)
        return gpu

    @property
    def working(self) -> bool:
        """Whether kernels run at this moment."""
        return self._ends_ms is None or self._now_ms < self._ends_ms

    @property
    def waits(self) -> bool:
        """Whether its job has not begun yet."""
        return self.last_work_ms is None and not self.working

    def freeze(self, now_ms: int) -> None:
        """The process submits no more; what was launched runs on until the queue is empty."""
        self.advance(now_ms)
        if self._ends_ms is None:
            self._ends_ms = now_ms + self._drain_ms

    def thaw(self, now_ms: int) -> None:
        """The process goes on submitting."""
        self.advance(now_ms)
        self._ends_ms = None

    def stop(self, now_ms: int) -> None:
        """The process is gone, and its context with it."""
        self.advance(now_ms)
        self._ends_ms = now_ms

    def advance(self, now_ms: int) -> None:
        """Let time pass up to here."""
        span_ms = now_ms - self._now_ms
        if span_ms <= 0:
            return
        until_ms = now_ms if self._ends_ms is None else min(now_ms, self._ends_ms)
        work_ms = max(0, until_ms - self._now_ms)
        self._elapsed += span_ms * CLOCK_KHZ * SM_COUNT
        busy = work_ms * CLOCK_KHZ * SM_COUNT * self._share_percent // 100
        self._busy += busy
        self._energy_mj += (work_ms * BUSY_MW + (span_ms - work_ms) * IDLE_MW) // 1000
        self.truth_flop += busy * FLOP_PER_CLOCK_PER_SM
        if work_ms:
            self.last_work_ms = until_ms
        self._now_ms = now_ms

    def sample(self, now_ms: int) -> ChipSample:
        """What a sampler would read now."""
        self.advance(now_ms)
        return ChipSample(
            uuid=self.uuid,
            taken_ms=now_ms,
            cycles=by_hmma(self._elapsed, self._busy, self._busy),
            kernel_active_ms=None,
            sm_clock_mhz=CLOCK_KHZ // 1000,
            energy_mj=self._energy_mj,
            pids=(1,) if self.working else (),
            error=None,
        )
