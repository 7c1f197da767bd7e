"""All chips of a host: jobs run on them, and a driver shows what it shows."""

from __future__ import annotations

from dataclasses import dataclass, field

from flopgate_agent.counters.sample import ChipSample, PipeCycles, make_chip_sample
from flopgate_sim.world.hardware import cutting
from flopgate_sim.world.hardware.chips import Chip
from flopgate_sim.world.hardware.jobs import Job
from flopgate_sim.world.hardware.levels import BOARD_MW, IDLE_MW
from flopgate_sim.world.nature.engine import US_PER_MS


@dataclass(slots=True)
class Hardware:
    """The chips of one host and the processes on them.

    Attributes:
        on: ``False`` while the host is off or suspended: nothing works.
        changed: indices of chips that are not set as their operator had them.
    """

    chips: list[Chip]
    jobs: list[Job] = field(default_factory=list)
    on: bool = True
    now_us: int = 0
    next_pid: int = 100
    changed: set[int] = field(default_factory=set)

    def admits(self, chips: tuple[int, ...]) -> bool:
        """Whether the driver gives a process a context on these chips."""
        return not any(self.chips[index].barred for index in chips)

    def note_setting(self, chip: Chip) -> None:
        """Somebody set a chip: keep account of those that are not as their operator had them."""
        index = self.chips.index(chip)
        (self.changed.discard if chip.restored else self.changed.add)(index)

    def undo_settings(self, now_us: int) -> None:
        """Every chip is set as its operator had it, behind the gate's back."""
        self.advance(now_us)
        for chip in self.chips:
            chip.compute_mode, chip.power_mw, chip.open_us = 0, chip.own_mw, now_us
            chip.node, chip.programs = chip.own_node, ()
            chip.lock(locked=False)
        self.changed.clear()

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
        idle_uj, most = span_us * IDLE_MW // 1000, span_us * 100
        active_us, worked_us = self._run(before_us)
        for chip, active, worked in zip(self.chips, active_us, worked_us, strict=True):
            shared = active > span_us  # one process alone does no more than that
            busy_us = span_us if shared else active
            done = min(worked, most) if shared else worked
            if active:
                chip.work(span_us, busy_us, done)
            else:
                chip.energy_uj += idle_uj
            if chip.locked:
                chip.lose(span_us, busy_us, done)

    def _run(self, before_us: int) -> tuple[list[int], list[int]]:
        """Let processes work up to now: of each chip their busy time, and that times percent."""
        now_us = self.now_us
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
                    if last_us > chip.last_work_us:  # noqa: PLR1730  # a call for each chip is dear
                        chip.last_work_us = last_us
        if ended:
            self.jobs = [job for job in self.jobs if job.alive(now_us)]
        return active_us, worked_us

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

    def pids(self) -> list[tuple[int, ...]]:
        """Who has a context, of each chip."""
        found: list[list[int]] = [[] for _ in self.chips]
        # The oldest comes first, and has the lowest number.
        for job in self.jobs:
            if job.alive(self.now_us):
                for index in job.chips:
                    found[index].append(job.pid)
        return [tuple(one) for one in found]

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
        """A chip starts anew: counters from zero, settings as the board has them."""
        chip.compute_mode, chip.power_mw, chip.reset = 0, BOARD_MW, True
        chip.lock(locked=False)
        chip.open_us = self.now_us
        self.note_setting(chip)
        chip.lost_us = chip.lost_active_us = chip.lost_worked_us = 0
        chip.counted_us = self.now_us
        chip.worked_before_us = chip.worked_us
        chip.active_before_us = chip.active_all_us
        chip.active_us = chip.energy_uj = 0
        chip.window_ms, chip.shared_us = None, (0, 0, 0)
        chip.hidden_us = chip.hidden_active_us = 0
        chip.reloaded = True
        cutting.renew(chip, self.now_us)

    def sample(self, now_us: int, elapsed_ms: int) -> list[ChipSample]:
        """What the driver shows of every chip now; ``elapsed_ms`` is the host's own clock."""
        self.advance(now_us)
        same: dict[tuple[int, int, int, int], PipeCycles] = {}
        return [
            self._sample(chip, pids, elapsed_ms, same)
            for chip, pids in zip(self.chips, self.pids(), strict=True)
            if not chip.hung
        ]

    def _sample(
        self,
        chip: Chip,
        pids: tuple[int, ...],
        elapsed_ms: int,
        same: dict[tuple[int, int, int, int], PipeCycles],
    ) -> ChipSample:
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
        high_khz, low_khz = chip.high_khz, chip.low_khz
        chip.high_khz = chip.low_khz = chip.clock_khz
        return make_chip_sample(
            uuid=chip.uuid,
            taken_ms=elapsed_ms,
            cycles=self._cycles(chip, same) if chip.gpm and not chip.percent else None,
            shares=self._shares(chip, elapsed_ms) if chip.gpm and chip.percent else None,
            kernel_active_ms=None if chip.mig else active_ms,
            sm_clock_mhz=-(-high_khz // 1000),
            sm_clock_low_mhz=low_khz // 1000,
            energy_mj=chip.energy_uj // 1000,
            pids=pids,
            error=None,
            mig=chip.mig,
            instances=cutting.shown(chip, self.now_us) if chip.mig else None,
            full=chip.layout == cutting.HALVES,
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
        return cutting.by_hmma(elapsed, active, busy)

    def _cycles(self, chip: Chip, same: dict[tuple[int, int, int, int], PipeCycles]) -> PipeCycles:
        """Summed over SMs, as GPM may give them; chips that did the same share one value."""
        worked_us = chip.worked_us - chip.worked_before_us - chip.hidden_us - chip.lost_worked_us
        active_us = chip.active_all_us - chip.active_before_us - chip.hidden_active_us
        active_us -= chip.lost_active_us
        counted_us = chip.counted_us + chip.lost_us
        key = (worked_us, active_us, counted_us, chip.jump_cycles)
        found = same.get(key)
        if found is None:
            khz, sms, jump = chip.spec.max_clock_khz, chip.spec.sm_count, chip.jump_cycles
            busy = worked_us * khz * sms // (1000 * 100) + jump
            active = active_us * khz * sms // 1000 + jump
            elapsed = (self.now_us - counted_us) * khz * sms // 1000 + jump
            found = same[key] = cutting.by_hmma(elapsed, max(active, busy), busy)
        return found
