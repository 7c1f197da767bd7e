"""What counters say of a chip against what else the driver says of it. Pure.

Laws of this file:
1. A check raises a finding for people; it changes no figure and stops nothing (law 10).
2. Each check leaves room for what honest chips do: figures of one driver are not read at one
   instant, and some trail by seconds. So they are compared over windows, not look by look.
3. Any samples give findings or none, never an exception.

Who can bend one of the driver's answers can bend all. But then they must fit each other, the power
that the building feeds, and what neighbours saw.
"""

from __future__ import annotations

from flopgate_agent.counters.sample import CYCLES, ChipSample, PipeCycles
from flopgate_agent.measured import MeterFinding, alert
from flopgate_proto.chips import ChipSpec

WINDOW_MS = 10_000
"""Shortest span that is compared: several times what the driver's buffers trail (2 s at most)."""
LOOKS_APART_MS = 3_000
"""A process that starts and ends between two looks this close cannot have filled the time between:
making a context alone takes a good part of a second."""
FILLED_PERCENT = 90
"""Of a window, by somebody who is in no process list."""
RESIDENT_PERCENT = 50
"""Of a window with a kernel on the chip: then at least one SM was active for so long."""
POWER_PERCENT = 50
"""Of the published power limit, on average: chosen, not published. To be held against real chips
that idle, and that copy without kernels."""
QUIET_PERCENT = 5
"""Of SM cycles active, chosen too: below it, such power goes into what nobody shows."""
PIPE_SLACK_PERCENT = 5
"""A pipe is busy only while its SM is active; the two counters are not read at one instant."""
LIMIT_PERCENT = 150
"""Of the published power limit, on average: makers of boards allow up to a third more."""
CLOCK_SLACK_PERCENT = 10
"""Cycles over time against the lowest and highest SM clock that the driver told meanwhile."""
PEAK_SLACK_PERCENT = 5
"""Of FLOP counted above what the chip table gives the chip: counters and clock are read apart."""
RUN_TIME_SLACK_S = 3_600
"""Of the chip's run time ahead of the host's clock, chosen: how often it is brought up to date is
not documented."""
PPM = 1_000_000
TFLOP = 10**12


class CrossCheck:
    """One chip, window after window."""

    def __init__(self, spec: ChipSpec) -> None:
        self._spec = spec
        self._peak_flop_per_s = spec.worst_nominal_flop_per_s
        self.reset()

    def reset(self) -> None:
        """Something could not be read: the next window begins with the next look."""
        self._start: ChipSample | None = None
        self._last_ms = 0
        self._active_ms: int | None = 0
        self._flop = 0
        self._alone = True
        self._clocks_mhz: tuple[int, int] | None = None

    def look(self, sample: ChipSample, flop: int = 0) -> tuple[MeterFinding, ...]:
        """One more look; what the window shows that it ends, if it ends one.

        ``flop`` is the nominal figure that was measured since the look before.
        """
        start = self._start
        if sample.error is not None or (start is not None and sample.taken_ms < self._last_ms):
            self.reset()
            return ()
        if start is None:
            self._begin(sample)
            return ()
        close = sample.taken_ms - self._last_ms <= LOOKS_APART_MS
        self._alone = self._alone and sample.pids == () and close
        self._widen_clocks(sample)
        self._flop += flop
        active_ms, self._last_ms = sample.kernel_active_ms, sample.taken_ms
        if active_ms is None or self._active_ms is None:
            self._active_ms = None
        else:
            self._active_ms += active_ms
        if sample.taken_ms - start.taken_ms < WINDOW_MS:
            return ()
        found = self._compare(start, sample)
        self._begin(sample)
        return found

    def _begin(self, sample: ChipSample) -> None:
        self._start, self._last_ms, self._active_ms = sample, sample.taken_ms, 0
        self._flop = 0
        self._alone = sample.pids == ()
        # The clocks of a look tell of the time before it, which belongs to the window before.
        self._clocks_mhz = (0, 0)

    def _widen_clocks(self, sample: ChipSample) -> None:
        low_mhz, high_mhz = sample.sm_clock_low_mhz or 0, sample.sm_clock_mhz or 0
        if self._clocks_mhz is None or not low_mhz or not high_mhz:
            self._clocks_mhz = None
            return
        low, high = self._clocks_mhz
        self._clocks_mhz = (min(low or low_mhz, low_mhz), max(high, high_mhz))

    def _compare(self, start: ChipSample, end: ChipSample) -> tuple[MeterFinding, ...]:
        span_ms = end.taken_ms - start.taken_ms
        moved = _moved(start, end)
        shares = None if moved is None else _shares_ppm(moved)
        resident_ppm = None if self._active_ms is None else self._active_ms * PPM // span_ms
        found: list[MeterFinding] = []
        if shares is not None:
            active_ppm, busiest_ppm = shares
            if busiest_ppm * 100 > active_ppm * (100 + PIPE_SLACK_PERCENT) + PPM:
                found.append(
                    alert("meter.pipe.above_active", pipe_ppm=busiest_ppm, active_ppm=active_ppm)
                )
            # One SM of them all is the least that a kernel can keep active; half of it for slack.
            least_ppm = PPM // (2 * self._spec.sm_count)
            resident = (resident_ppm or 0) * 100 >= RESIDENT_PERCENT * PPM
            if resident and active_ppm < least_ppm:
                numbers = {"active_ppm": active_ppm, "resident_ppm": resident_ppm or 0}
                found.append(alert("meter.active.below_kernels", **numbers))
            if resident_ppm is not None and resident:
                found += self._clock(start, end, span_ms, resident_ppm)
        found += self._peak(span_ms)
        found += self._power(start, end, span_ms, shares[0] if shares else resident_ppm)
        filled_ppm = max(shares[0] if shares else 0, resident_ppm or 0)
        if self._alone and filled_ppm * 100 >= FILLED_PERCENT * PPM:
            found.append(alert("meter.process.hidden", busy_ppm=filled_ppm, span_ms=span_ms))
        return tuple(found)

    def _clock(
        self, start: ChipSample, end: ChipSample, span_ms: int, resident_ppm: int
    ) -> list[MeterFinding]:
        """Cycles over time, averaged or summed, lie between the clocks told.

        An idle chip may gate its clock, and what it counts then is not documented: so many cycles
        as the lowest clock makes are owed for the time with a kernel on the chip only.
        """
        if start.cycles is None or end.cycles is None or self._clocks_mhz is None:
            return []
        low_mhz, high_mhz = self._clocks_mhz
        cycles_khz = (end.cycles.elapsed - start.cycles.elapsed) // span_ms
        for count in (1, self._spec.sm_count):
            if cycles_khz > high_mhz * count * 10 * (100 + CLOCK_SLACK_PERCENT):
                continue
            least = low_mhz * count * 10 * (100 - CLOCK_SLACK_PERCENT) * resident_ppm // PPM
            if least <= cycles_khz:
                return []
        numbers = {"cycles_khz": cycles_khz, "low_mhz": low_mhz, "high_mhz": high_mhz}
        return [alert("meter.clock.contradicts_cycles", **numbers)]

    def _peak(self, span_ms: int) -> list[MeterFinding]:
        most = self._peak_flop_per_s * span_ms // 1000
        if self._flop * 100 <= most * (100 + PEAK_SLACK_PERCENT):
            return []
        tflop_per_s = self._flop * 1000 // (span_ms * TFLOP)
        peak_tflop_per_s = self._peak_flop_per_s // TFLOP
        numbers = {"tflop_per_s": tflop_per_s, "peak_tflop_per_s": peak_tflop_per_s}
        return [alert("meter.flop.above_peak", **numbers)]

    def _power(
        self, start: ChipSample, end: ChipSample, span_ms: int, busy_ppm: int | None
    ) -> list[MeterFinding]:
        limit_mw = self._spec.power_limit_mw
        if limit_mw is None or start.energy_mj is None or end.energy_mj is None:
            return []
        power_mw = (end.energy_mj - start.energy_mj) * 1000 // span_ms
        if power_mw * 100 > limit_mw * LIMIT_PERCENT:
            return [alert("meter.power.above_limit", power_mw=power_mw, limit_mw=limit_mw)]
        if busy_ppm is None or busy_ppm * 100 >= QUIET_PERCENT * PPM:
            return []
        if power_mw * 100 < limit_mw * POWER_PERCENT:
            return []
        numbers = {"power_mw": power_mw, "limit_mw": limit_mw, "busy_ppm": busy_ppm}
        return [alert("meter.power.unexplained", **numbers)]


class RunTime:
    """The chip's own count of the time with a driver loaded, against the host's clock.

    It can be switched off, so that it lags proves nothing. What it counts was there.
    """

    def __init__(self) -> None:
        self._base: tuple[int, int] | None = None
        self._last_s = 0

    def resume(self, at_ms: int, run_s: int) -> None:
        """It stood there in the last report, at this host time."""
        self._base, self._last_s = (at_ms, run_s), run_s

    def look(self, sample: ChipSample) -> tuple[MeterFinding, ...]:
        """What one more look shows."""
        run_s, taken_ms = sample.run_s, sample.taken_ms
        if run_s is None or sample.error is not None:
            return ()
        if self._base is None:
            self.resume(taken_ms, run_s)
            return ()
        (since_ms, since_s), last_s, self._last_s = self._base, self._last_s, run_s
        if run_s < last_s:
            self.resume(taken_ms, run_s)
            return (alert("meter.runtime.backwards", moved_s=run_s - last_s),)
        ran_s, elapsed_s = run_s - since_s, max(0, taken_ms - since_ms) // 1000
        if ran_s <= elapsed_s + RUN_TIME_SLACK_S:
            return ()
        self.resume(taken_ms, run_s)
        return (alert("meter.runtime.beyond_clock", run_s=ran_s, elapsed_s=elapsed_s),)


def _moved(start: ChipSample, end: ChipSample) -> tuple[PipeCycles, PipeCycles] | None:
    if start.cycles is not None and end.cycles is not None:
        return start.cycles, end.cycles
    if start.shares is not None and end.shares is not None:
        return start.shares, end.shares
    return _of_instances(start, end)


def _of_instances(start: ChipSample, end: ChipSample) -> tuple[PipeCycles, PipeCycles] | None:
    """Of a chip that is cut: what all its instances did, if they are the same at both ends."""
    before, after = start.instances or (), end.instances or ()
    if not before or [(a.id, a.sm_count) for a in before] != [(b.id, b.sm_count) for b in after]:
        return None
    counted = [one.cycles for one in (*before, *after) if one.cycles is not None]
    if len(counted) < 2 * len(before):
        return None
    return _sum(counted[: len(before)]), _sum(counted[len(before) :])


def _sum(counted: list[PipeCycles]) -> PipeCycles:
    return PipeCycles(**{name: sum(getattr(one, name) for one in counted) for name in CYCLES})


def _shares_ppm(moved: tuple[PipeCycles, PipeCycles]) -> tuple[int, int] | None:
    """Parts per million of elapsed cycles: SM active, and the busiest pipe; ``None`` if unknown."""
    before, after = moved
    elapsed, active = after.elapsed - before.elapsed, after.active - before.active
    mma, fp64 = after.mma - before.mma, after.fp64 - before.fp64
    fp32, fp16 = after.fp32 - before.fp32, after.fp16 - before.fp16
    if elapsed <= 0 or active < 0 or mma < 0 or fp64 < 0 or fp32 < 0 or fp16 < 0:
        return None
    return active * PPM // elapsed, max(mma, fp64, fp32, fp16) * PPM // elapsed
