"""Accelerators that keep the truth: what really ran, whatever anybody was told.

Time moves only by `Hardware.advance`. Counters are averaged over SMs, as GPM may give them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from flopgate_agent.counters.sample import ChipSample
from flopgate_proto.chips import ChipSpec, spec_for
from flopgate_sim.world.hardware.cutting import by_hmma

H100_PCI_ID = 0x2330
H100_NAME = "NVIDIA H100 80GB HBM3"
UUID = "GPU-00000000-0000-4000-8000-{:012x}"


def h100() -> ChipSpec:
    """The chip that every rig is made of."""
    return spec_for(H100_PCI_ID, H100_NAME)


@dataclass(slots=True, kw_only=True)
class Job:
    """A process with work on one chip.

    Attributes:
        drain_ms: its queue goes on so long after a freeze; ``None``: a persistent kernel, which
            runs until the process is dead.
        burst: (period, work) in ms: it works only in the first part of each period.
        death_ms: from the kill until it is gone.
        comm: it spins on the network: SMs active, no compute pipe.
    """

    pid: int
    chip: int
    start_ms: int
    drain_ms: int | None = 50
    burst: tuple[int, int] | None = None
    death_ms: int = 20
    comm: bool = False
    frozen_ms: int | None = None
    gone_ms: int | None = None

    def end_ms(self) -> int | None:
        """Host time at which its work ends, as things stand; ``None``: never."""
        ends = [] if self.gone_ms is None else [self.gone_ms]
        if self.frozen_ms is not None and self.drain_ms is not None:
            ends.append(self.frozen_ms + self.drain_ms)
        return min(ends, default=None)

    def alive(self, now_ms: int) -> bool:
        """Whether the process is there."""
        return self.start_ms <= now_ms and (self.gone_ms is None or now_ms < self.gone_ms)

    def work(self, from_ms: int, to_ms: int) -> tuple[int, int | None]:
        """Milliseconds of work in an interval, and the last instant of it."""
        end_ms = self.end_ms()
        until_ms = to_ms if end_ms is None else min(to_ms, end_ms)
        since_ms = max(from_ms, self.start_ms)
        if until_ms <= since_ms:
            return 0, None
        if self.burst is None:
            return until_ms - since_ms, until_ms
        period_ms, on_ms = self.burst
        worked_ms = self._bursts(until_ms) - self._bursts(since_ms)
        rest_ms = (until_ms - self.start_ms) % period_ms
        last_ms = until_ms - max(0, rest_ms - on_ms)
        return worked_ms, last_ms if worked_ms else None

    def _bursts(self, at_ms: int) -> int:
        period_ms, on_ms = self.burst or (1, 1)
        whole, rest_ms = divmod(at_ms - self.start_ms, period_ms)
        return whole * on_ms + min(rest_ms, on_ms)


class Hardware:
    """The chips of one host.

    Attributes:
        last_work_ms: last instant at which a compute pipe was busy, by chip.
        work_ms: how long it was busy in all, by chip.
        loaded_at_ms: since when the driver counts cycles.
        gpm: whether cycle counters can be read.
        lost: chips that are off the bus.
        run_s: what the black box of each chip shows.
    """

    def __init__(self, chips: int, now_ms: int, loaded_ms: int = 0) -> None:
        self.spec = h100()
        self.jobs: list[Job] = []
        self.now_ms = now_ms
        self.loaded_at_ms = now_ms - loaded_ms
        self.last_work_ms: list[int | None] = [None] * chips
        self.work_ms = [0] * chips
        self.gpm = True
        self.lost: set[int] = set()
        self.run_s: int | None = None
        self._active_ms = [0] * chips
        self._uncounted_ms = ([0] * chips, [0] * chips)
        self._sampled_ms = [0] * chips

    @property
    def chips(self) -> range:
        """Indices of all chips."""
        return range(len(self.work_ms))

    def start(self, pid: int, chip: int = 0, **options: object) -> Job:
        """A process that works from now on."""
        job = Job(pid=pid, chip=chip, start_ms=self.now_ms)
        for name, value in options.items():
            setattr(job, name, value)
        self.jobs.append(job)
        return job

    def advance(self, to_ms: int) -> None:
        """Let time pass."""
        for job in self.jobs:
            worked_ms, last_ms = job.work(self.now_ms, to_ms)
            self._active_ms[job.chip] += worked_ms
            if last_ms is not None and not job.comm:
                self.work_ms[job.chip] += worked_ms
                known_ms = self.last_work_ms[job.chip]
                self.last_work_ms[job.chip] = max(last_ms, known_ms or last_ms)
        self.now_ms = max(self.now_ms, to_ms)

    def load_anew(self) -> None:
        """Cycle counters begin anew, as a reset lets them; what runs goes on."""
        self.loaded_at_ms, self._uncounted_ms = self.now_ms, (self.work_ms[:], self._active_ms[:])

    def freeze(self, pids: Collection[int]) -> None:
        """No further launches; what was launched goes on."""
        for job in self._of(pids):
            if job.frozen_ms is None:
                job.frozen_ms = self.now_ms

    def thaw(self, pids: Collection[int]) -> None:
        """Launches go on."""
        for job in self._of(pids):
            job.frozen_ms = None

    def kill(self, pids: Collection[int]) -> None:
        """Ends processes, each in its time."""
        for job in self._of(pids):
            if job.gone_ms is None:
                job.gone_ms = self.now_ms + job.death_ms

    def _of(self, pids: Collection[int]) -> Iterable[Job]:
        return [job for job in self.jobs if job.pid in pids and job.alive(self.now_ms)]

    def pids(self, chip: int) -> tuple[int, ...]:
        """Who has a context on a chip."""
        return tuple(sorted(j.pid for j in self.jobs if j.chip == chip and j.alive(self.now_ms)))

    def sample(self) -> Sequence[ChipSample]:
        """What the driver shows of every chip at this moment."""
        return [self._sample(chip) for chip in self.chips]

    def _sample(self, chip: int) -> ChipSample:
        lost = chip in self.lost
        clock_khz = self.spec.max_clock_khz
        before_ms, active_before_ms = (counted[chip] for counted in self._uncounted_ms)
        busy = (self.work_ms[chip] - before_ms) * clock_khz
        elapsed = (self.now_ms - self.loaded_at_ms + 1) * clock_khz
        active = (self._active_ms[chip] - active_before_ms) * clock_khz
        cycles = by_hmma(elapsed, active, busy)
        active_ms = self._active_ms[chip] - self._sampled_ms[chip]
        self._sampled_ms[chip] = self._active_ms[chip]
        return ChipSample(
            uuid=UUID.format(chip),
            taken_ms=self.now_ms,
            cycles=cycles if self.gpm and not lost else None,
            kernel_active_ms=None if lost else active_ms,
            sm_clock_mhz=None if lost else clock_khz // 1000,
            energy_mj=None,
            pids=None if lost else self.pids(chip),
            error="GPU_IS_LOST" if lost else None,
            run_s=None if lost else self.run_s,
        )

    def nominal_flop(self, chip: int) -> int:
        """What a chip really executed, at the 16-bit rate."""
        spec = self.spec
        cycles = self.work_ms[chip] * spec.max_clock_khz * spec.sm_count
        return cycles * spec.rates.half_tensor
