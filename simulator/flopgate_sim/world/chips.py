"""Accelerators that keep the truth: what really ran, whatever anybody was told.

Truth is in world time and in the chip's own clock cycles. What a driver would show is derived from
it, and can be made to lie (`Faults`); the truth cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flopgate_agent.counters.sample import ChipSample, PipeCycles
from flopgate_proto.chips import ChipSpec
from flopgate_sim.world.engine import US_PER_MS

IDLE_MW, BUSY_MW = 70_000, 650_000


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


@dataclass(slots=True, kw_only=True)
class Chip:
    """One accelerator.

    Attributes:
        spec: what it is made of; its clock runs at the highest.
        gpm: whether the driver shows what the pipes do.
        percent: whether it shows only percentages of it, and no cycle counters.
        worked_us: busy time of compute pipes since the world began, times percent.
        active_us: time with any kernel on it since the last sample.
        last_work_us: last moment at which a compute pipe was busy, 0 before the first.
        lost: off the bus.
        hung: calls hang there, so no sampler asks it.
        mig: cut into instances, whose work is in no counter of the whole chip.
        reloaded: the driver was loaded anew: a handle from before gives one error. One that is
            opened after it tells nothing of it.
        counted_us: since when the driver counts; a reload starts anew.
        jump_cycles: what a lying or broken driver adds to every counter.
        hidden_us, hidden_active_us: busy and active time that the driver does not show, from
            ``hiding`` (it lies) or ``mig`` on.
    """

    uuid: str
    spec: ChipSpec
    gpm: bool
    percent: bool = False
    worked_us: int = 0
    active_us: int = 0
    last_work_us: int = 0
    lost: bool = False
    hung: bool = False
    mig: bool = False
    reloaded: bool = False
    counted_us: int = 0
    worked_before_us: int = 0
    active_all_us: int = 0
    active_before_us: int = 0
    jump_cycles: int = 0
    hiding: bool = False
    hidden_us: int = 0
    hidden_active_us: int = 0
    energy_uj: int = 0
    window_ms: int | None = None
    window_worked_us: int = 0
    window_active_us: int = 0
    window_now_us: int = 0
    shared_us: tuple[int, int, int] = (0, 0, 0)

    def flop(self) -> int:
        """What it really executed, at the 16-bit rate."""
        spec = self.spec
        cycles = self.worked_us * spec.max_clock_khz // (1000 * 100)
        return cycles * spec.sm_count * spec.rates.half_tensor


@dataclass(slots=True)
class Hardware:
    """The chips of one host and the processes on them.

    Attributes:
        on: ``False`` while the host is off or suspended: nothing works.
    """

    chips: list[Chip]
    jobs: list[Job] = field(default_factory=list)
    on: bool = True
    now_us: int = 0
    next_pid: int = 100

    def start(self, chips: tuple[int, ...], now_us: int, **options: object) -> Job:
        """A process that works from now on."""
        self.advance(now_us)
        job = Job(pid=self.next_pid, chips=chips, start_us=now_us)
        self.next_pid += 1
        for name, value in options.items():
            setattr(job, name, value)
        self.jobs.append(job)
        return job

    def advance(self, now_us: int) -> None:
        """Let time pass."""
        before_us = self.now_us
        if now_us <= before_us:
            return
        self.now_us = now_us
        if not self.on:
            return
        span_us = now_us - before_us
        idle_uj = span_us * IDLE_MW // 1000
        active_us, worked_us = [0] * len(self.chips), [0] * len(self.chips)
        ended = False
        for job in self.jobs:
            ended = ended or (job.gone_us is not None and job.gone_us <= now_us)
            done_us, last_us = job.work(before_us, now_us)
            if not done_us:
                continue
            job.last_work_us = last_us
            for index in job.chips:
                chip = self.chips[index]
                if chip.lost:
                    continue
                active_us[index] += done_us
                if not job.spinning:
                    worked_us[index] += done_us * job.busy_percent
                    chip.last_work_us = max(chip.last_work_us, last_us)
        for chip, active, worked in zip(self.chips, active_us, worked_us, strict=True):
            if not active:
                chip.energy_uj += idle_uj
                continue
            # Two processes share what one chip can do.
            busy_us, busy = min(active, span_us), min(worked, span_us * 100)
            chip.active_us += busy_us
            chip.active_all_us += busy_us
            chip.worked_us += busy
            if chip.hiding or chip.mig:
                chip.hidden_us += busy
                chip.hidden_active_us += busy_us
            chip.energy_uj += (busy_us * BUSY_MW + (span_us - busy_us) * IDLE_MW) // 1000
        if ended:
            self.jobs = [job for job in self.jobs if job.alive(now_us)]

    def freeze(self, pids: set[int], now_us: int) -> None:
        """No further launches; what was launched goes on. A child that was being made goes on."""
        self.advance(now_us)
        for job in [job for job in self.jobs if job.pid in pids and job.frozen_us is None]:
            job.frozen_us = now_us
            if job.forks:
                job.forks -= 1
                self.start(
                    job.chips,
                    now_us,
                    busy_percent=job.busy_percent,
                    drain_us=job.drain_us,
                    forks=job.forks,
                )

    def thaw(self, pids: set[int], now_us: int) -> None:
        """Launches go on."""
        self.advance(now_us)
        for job in self.jobs:
            if job.pid in pids:
                job.frozen_us = None

    def wake(self, now_us: int) -> int:
        """Somebody with root lets every frozen process go on; how many there were."""
        self.advance(now_us)
        frozen = [job for job in self.jobs if job.frozen_us is not None]
        for job in frozen:
            job.frozen_us, job.woken_us = None, now_us
        return len(frozen)

    def kill(self, pids: set[int], now_us: int) -> None:
        """Ends processes, each in its time."""
        self.advance(now_us)
        for job in self.jobs:
            if job.pid in pids and job.gone_us is None:
                job.gone_us = now_us + job.death_us

    def pids(self, chip: int) -> tuple[int, ...]:
        """Who has a context on a chip."""
        # The oldest comes first, and has the lowest number.
        return tuple([job.pid for job in self.jobs if chip in job.chips and job.alive(self.now_us)])

    def reload(self, now_us: int) -> None:
        """The driver starts anew: counters from zero, lost chips are back, no process is there."""
        self.advance(now_us)
        self.jobs = []
        for chip in self.chips:
            chip.lost, chip.jump_cycles = False, 0
            self.reset_counters(chip)

    def opened(self) -> None:
        """Another sampler opens every chip: it adds up its own windows, and sees no old error."""
        for chip in self.chips:
            chip.reloaded = False
            chip.window_ms, chip.shared_us = None, (0, 0, 0)

    def reset_counters(self, chip: Chip) -> None:
        """Cumulative counters of a chip start from zero."""
        chip.counted_us = self.now_us
        chip.worked_before_us = chip.worked_us
        chip.active_before_us = chip.active_all_us
        chip.active_us = chip.energy_uj = 0
        chip.window_ms, chip.shared_us = None, (0, 0, 0)
        chip.hidden_us = chip.hidden_active_us = 0
        chip.reloaded = True

    def sample(self, now_us: int, elapsed_ms: int) -> list[ChipSample]:
        """What the driver shows of every chip now; ``elapsed_ms`` is the host's own clock."""
        self.advance(now_us)
        asked = [index for index, chip in enumerate(self.chips) if not chip.hung]
        same: dict[tuple[int, int, int, int], PipeCycles] = {}
        return [self._sample(index, elapsed_ms, same) for index in asked]

    def _sample(
        self, index: int, elapsed_ms: int, same: dict[tuple[int, int, int, int], PipeCycles]
    ) -> ChipSample:
        chip = self.chips[index]
        reloaded, chip.reloaded = chip.reloaded, False
        if chip.lost or reloaded:
            return ChipSample(
                uuid=chip.uuid,
                taken_ms=elapsed_ms,
                cycles=None,
                kernel_active_ms=None,
                sm_clock_mhz=None,
                energy_mj=None,
                pids=None,
                error="GPU_IS_LOST" if chip.lost else "UNINITIALIZED",
            )
        active_ms, chip.active_us = divmod(chip.active_us, US_PER_MS)
        return ChipSample(
            uuid=chip.uuid,
            taken_ms=elapsed_ms,
            cycles=self._cycles(chip, same) if chip.gpm and not chip.percent else None,
            shares=self._shares(chip, elapsed_ms) if chip.gpm and chip.percent else None,
            kernel_active_ms=None if chip.mig else active_ms,
            sm_clock_mhz=-(-chip.spec.max_clock_khz // 1000),
            sm_clock_low_mhz=chip.spec.max_clock_khz // 1000,
            energy_mj=chip.energy_uj // 1000,
            pids=self.pids(index),
            error=None,
            mig=chip.mig,
        )

    def _shares(self, chip: Chip, elapsed_ms: int) -> PipeCycles | None:
        """As a sampler adds up percentages of windows that touch, on the host's own clock."""
        since_ms, span_us = chip.window_ms, self.now_us - chip.window_now_us
        worked_us = chip.worked_us - chip.window_worked_us
        active_us = chip.active_all_us - chip.window_active_us
        if since_ms is not None and (elapsed_ms <= since_ms or span_us <= 0):
            return None
        if since_ms is not None:
            window_us = (elapsed_ms - since_ms) * 1000
            busy = min(window_us, -(-worked_us * window_us // (span_us * 100)))
            active = min(window_us, -(-active_us * window_us // span_us))
            done, mma, alive = chip.shared_us
            chip.shared_us = done + window_us, mma + busy, alive + max(active, busy)
        chip.window_ms, chip.window_now_us = elapsed_ms, self.now_us
        chip.window_worked_us, chip.window_active_us = chip.worked_us, chip.active_all_us
        elapsed, busy, active = chip.shared_us
        return _by_hmma(elapsed, active, busy)

    def _cycles(self, chip: Chip, same: dict[tuple[int, int, int, int], PipeCycles]) -> PipeCycles:
        """Summed over SMs, as GPM may give them; chips that did the same share one value."""
        worked_us = chip.worked_us - chip.worked_before_us - chip.hidden_us
        active_us = chip.active_all_us - chip.active_before_us - chip.hidden_active_us
        key = (worked_us, active_us, chip.counted_us, chip.jump_cycles)
        found = same.get(key)
        if found is None:
            khz, sms, jump = chip.spec.max_clock_khz, chip.spec.sm_count, chip.jump_cycles
            busy = worked_us * khz * sms // (1000 * 100) + jump
            active = active_us * khz * sms // 1000 + jump
            elapsed = (self.now_us - chip.counted_us) * khz * sms // 1000 + jump
            found = same[key] = _by_hmma(elapsed, max(active, busy), busy)
        return found


def _by_hmma(elapsed: int, active: int, busy: int) -> PipeCycles:
    """All work of these chips is 16-bit work on the tensor pipe."""
    return PipeCycles(
        elapsed=elapsed,
        active=active,
        mma=busy,
        dmma=0,
        hmma=busy,
        imma=0,
        dfma=0,
        integer=0,
        fp64=0,
        fp32=0,
        fp16=0,
    )
