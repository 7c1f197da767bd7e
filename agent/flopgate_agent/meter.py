"""From two samples to FLOP: integers low, nominal and high for what lies between. Pure.

Laws of this file:
1. Every interval is measured or charged at the worst case. Losing data never makes it cheaper.
2. Any pair of samples gives a `Measured`, never an exception.
3. ``low <= nominal <= high``, by pipe and in total.
"""

from __future__ import annotations

from dataclasses import replace

from flopgate_agent.counters.sample import ChipIdentity, ChipSample, PipeCycles
from flopgate_agent.measured import (
    NOTHING,
    Flop,
    Measured,
    MeterFinding,
    Pipe,
    alert,
    info,
    warning,
)
from flopgate_agent.pricing import ceil_div, moved_between, price, tensor_cycles
from flopgate_proto.chips import ChipSpec, spec_for
from flopgate_proto.quick import maker
from flopgate_proto.values import CounterSource

make_measured = maker(Measured)

SLACK_PERCENT = 5
"""How far counters may run ahead of clock x time before they are called impossible."""
SLACK_MS = 50
"""Counters and clock are not read at one instant: a busy host may come between."""
ACTIVE_LAG_MS = 3_000
"""The driver's utilisation buffer trails by a sample period, 2 s at most, then catches up."""
SLOWEST_PERCENT = 5
"""Idle clocks (120 of 1965 MHz on B200) lie above this part of the highest: fewer cycles fit no
reading."""
SUMMED_PERCENT = 75
"""Of SMs x highest clock seen x time: from here on elapsed cycles are a sum over all SMs. The next
smaller number of units in a chip is that of TPCs, half as many."""
CALIBRATION_MS = 500
"""Shortest interval by which the reading of the counters is told: ten times `SLACK_MS`."""


def spec_of(chip: ChipIdentity) -> ChipSpec:
    """Spec of a chip that the sampler found.

    Raises:
        ChipTableError: the table in this installation is damaged.
    """
    return spec_for(chip.pci_device_id, chip.nvml_name, chip.max_sm_clock_mhz)


def measure(
    previous: ChipSample, current: ChipSample, spec: ChipSpec, *, summed: bool = False
) -> Measured:
    """Count the FLOP of one chip between two samples; always gives a value.

    The best source that both samples carry is used: cycles, else shares, else kernel-active time,
    else peak x time. Kernel-active time and clocks run since the sample before ``current``: the two
    must be neighbours. ``summed``: a `calibration` of the same counters found them so.
    """
    elapsed_ms = current.taken_ms - previous.taken_ms
    if previous.uuid != current.uuid:
        return worst_case(spec, elapsed_ms, alert("meter.sample.mismatch"))
    if elapsed_ms < 0:
        return worst_case(spec, 0, alert("meter.time.backwards", elapsed_ms=elapsed_ms))
    if current.error is not None:
        return worst_case(spec, elapsed_ms, alert("meter.chip.unreadable"))
    findings = energy_back(previous, current)
    if previous.mig or current.mig:
        # Whether counters of the whole chip include its instances is not documented.
        return worst_case(spec, elapsed_ms, *findings, warning("meter.mig.enabled"))
    before, after = previous.cycles, current.cycles
    if before is not None and after is not None:
        if before.elapsed == after.elapsed and current.kernel_active_ms and before == after:
            # Cycles that stand still are idleness, unless the driver saw kernels meanwhile.
            active_ms = current.kernel_active_ms
            stuck = alert("meter.counter.stuck", active_ms=active_ms, elapsed_ms=elapsed_ms)
            return _by_activity(current, active_ms, spec, elapsed_ms, (*findings, stuck))
        return _by_cycles(
            (before, after),
            spec,
            elapsed_ms,
            findings,
            clock_mhz=current.sm_clock_mhz,
            summed=summed,
        )
    if previous.shares is not None and current.shares is not None:
        return _by_shares(previous.shares, current, spec, elapsed_ms, findings)
    if before is not None or previous.shares is not None:
        findings = (*findings, warning("meter.gpm.unavailable"))
    if previous.error is not None:
        # What happened while it was lost was not seen by its sample buffer either.
        return worst_case(spec, elapsed_ms, *findings, alert("meter.chip.was_unreadable"))
    if current.kernel_active_ms is not None:
        return _by_activity(current, current.kernel_active_ms, spec, elapsed_ms, findings)
    return worst_case(spec, elapsed_ms, *findings, warning("meter.counter.missing"))


def worst_case(spec: ChipSpec, elapsed_ms: int, *findings: MeterFinding) -> Measured:
    """Charge all pipes of the chip at its highest clock: nothing measured lies above it.

    ``low`` is 0: the chip may have stood still. Negative time counts as none.
    """
    span_ms = max(0, elapsed_ms)
    total = Flop(
        nominal=ceil_div(spec.worst_nominal_flop_per_s * span_ms, 1000),
        high=ceil_div(spec.worst_high_flop_per_s * span_ms, 1000),
    )
    return make_measured(
        total=total,
        by_pipe=((Pipe.UNRESOLVED, total),) if total.high else (),
        source=CounterSource.PEAK_TIME,
        elapsed_ms=span_ms,
        gap=True,
        findings=findings,
    )


def tighten_gap(
    last: ChipSample, now: ChipSample, spec: ChipSpec, elapsed_ms: int, *, summed: bool = False
) -> Measured:
    """Measure a gap by cumulative cycles, if they demonstrably survived it; else the worst case.

    ``last`` was read when the gap began or later; ``elapsed_ms`` is host time as the gate knows it,
    not the samples' stamps. ``summed`` as for `measure`: counters that survived count as before.
    """
    before, after = last.cycles, now.cycles
    if last.uuid != now.uuid or now.error or now.mig or before is None or after is None:
        return worst_case(spec, elapsed_ms, warning("meter.gap.unmeasured"))
    ticks, findings = after.elapsed - before.elapsed, energy_back(last, now)
    if findings or not survived(after, spec, elapsed_ms):
        numbers = {"counted_cycles": after.elapsed, "elapsed_ms": elapsed_ms}
        unproven = warning("meter.gap.reset_possible", **numbers)
        return worst_case(spec, elapsed_ms, *findings, unproven)
    if not _slowest(spec, elapsed_ms) <= ticks <= _limit(spec, elapsed_ms) * spec.sm_count:
        numbers = {"elapsed_cycles": ticks, "elapsed_ms": elapsed_ms}
        return worst_case(spec, elapsed_ms, warning("meter.gap.not_continuous", **numbers))
    tightened = (info("meter.gap.tightened"),)
    # The clock told now says nothing of the gap: the highest stands for it.
    return _by_cycles((before, after), spec, elapsed_ms, tightened, clock_mhz=None, summed=summed)


def survived(after: PipeCycles, spec: ChipSpec, elapsed_ms: int) -> bool:
    """Whether more cycles are counted than could have been since a reset inside this time.

    At the highest clock, and summed over SMs whatever the counters seemed to be before: a driver
    that was loaded anew may be another version.
    """
    return after.elapsed > _limit(spec, max(0, elapsed_ms)) * spec.sm_count


def calibration(previous: ChipSample, current: ChipSample, spec: ChipSpec) -> MeterFinding | None:
    """Which reading of the cumulative counters fits here, with its numbers; ``None``: not to tell.

    ``sms_per_count`` is 1 where they are summed over SMs, the number of SMs where averaged.
    """
    elapsed_ms = current.taken_ms - previous.taken_ms
    if previous.cycles is None or current.cycles is None or previous.mig or current.mig:
        return None
    if elapsed_ms < CALIBRATION_MS:
        return None
    ticks = current.cycles.elapsed - previous.cycles.elapsed
    clock_khz = _clock_khz(ticks, elapsed_ms, spec, current.sm_clock_mhz)
    sms_per_count = _sms_per_count(ticks, elapsed_ms, spec, clock_khz)
    if sms_per_count is None:
        return None
    if ticks * sms_per_count * 100 < clock_khz * elapsed_ms * spec.sm_count * SUMMED_PERCENT:
        # Summed counters of a clock that mostly stood would look like this too.
        return None
    numbers = {"elapsed_cycles": ticks, "elapsed_ms": elapsed_ms, "clock_khz": clock_khz}
    return info("meter.counter.calibrated", sms_per_count=sms_per_count, **numbers)


def _limit(spec: ChipSpec, elapsed_ms: int) -> int:
    """Most cycles of one SM in this time."""
    one_sm = spec.max_clock_khz * elapsed_ms
    return (one_sm * (100 + SLACK_PERCENT)) // 100 + spec.max_clock_khz * SLACK_MS


def _slowest(spec: ChipSpec, elapsed_ms: int) -> int:
    """Fewest cycles of one SM in this time; at least one."""
    return max(1, spec.max_clock_khz * elapsed_ms * SLOWEST_PERCENT // 100)


def _by_cycles(
    counted: tuple[PipeCycles, PipeCycles],
    spec: ChipSpec,
    elapsed_ms: int,
    findings: tuple[MeterFinding, ...],
    *,
    clock_mhz: int | None,
    summed: bool,
) -> Measured:
    """Price the cycles of each pipe, after checking that they are possible."""
    before, after = counted
    ticks, active = after.elapsed - before.elapsed, after.active - before.active
    moved = moved_between(before, after)
    ranked = sorted(moved)
    lowest, busiest_pipe = ranked[0], ranked[-1]
    busiest = max(active, tensor_cycles(moved), busiest_pipe)
    if ticks < 0 or active < 0 or lowest < 0:
        lowest = min(ticks, active, lowest)
        back = alert("meter.counter.backwards", cycles=lowest, elapsed_ms=elapsed_ms)
        return worst_case(spec, elapsed_ms, *findings, back)
    limit = _limit(spec, elapsed_ms)
    if ticks > limit * spec.sm_count:
        return worst_case(
            spec, elapsed_ms, *findings, _odd("meter.counter.jump", ticks, busiest, elapsed_ms)
        )
    clock_khz, per_count = 0, 1 if summed else None
    # How nothing is counted does not matter.
    if busiest and not summed:
        clock_khz = _clock_khz(ticks, elapsed_ms, spec, clock_mhz)
        per_count = _sms_per_count(ticks, elapsed_ms, spec, clock_khz)
    if busiest and per_count is None and ticks < _slowest(spec, elapsed_ms):
        odd = _odd("meter.counter.uncalibrated", ticks, busiest, elapsed_ms)
        return worst_case(spec, elapsed_ms, *findings, odd)
    most = limit * spec.sm_count // per_count if per_count else ticks * (100 + SLACK_PERCENT) // 100
    if busiest > most:
        return worst_case(
            spec, elapsed_ms, *findings, _odd("meter.counter.jump", ticks, busiest, elapsed_ms)
        )
    if busiest and per_count is None:
        return _unscaled(moved, ticks, spec, elapsed_ms, findings, clock_khz=clock_khz)
    priced = price(moved, spec, per_count or 0) if busiest_pipe else ()
    return _measured(priced, CounterSource.GPM_CYCLES, elapsed_ms, findings)


def _unscaled(
    moved: tuple[int, ...],
    ticks: int,
    spec: ChipSpec,
    elapsed_ms: int,
    findings: tuple[MeterFinding, ...],
    *,
    clock_khz: int,
) -> Measured:
    """Price cycles of which nothing tells how they count: as shares of all cycles there were."""
    numbers = {"elapsed_cycles": ticks, "elapsed_ms": elapsed_ms, "clock_khz": clock_khz}
    unscaled = warning("meter.counter.unscaled", **numbers)
    all_sms = spec.sm_count * clock_khz * elapsed_ms
    by_pipe = price(tuple(ceil_div(one * all_sms, ticks) for one in moved), spec, 1)
    # Nothing speaks for a lower bound.
    by_pipe = tuple((pipe, replace(flop, low=0)) for pipe, flop in by_pipe)
    return _measured(by_pipe, CounterSource.GPM_CYCLES, elapsed_ms, (*findings, unscaled))


def _by_shares(
    before: PipeCycles,
    current: ChipSample,
    spec: ChipSpec,
    elapsed_ms: int,
    findings: tuple[MeterFinding, ...],
) -> Measured:
    """Price the time for which each pipe was busy, by the clocks seen meanwhile.

    Percentages count cycles of a clock that moves: ``low`` rests on the lowest clock seen, the
    other two on the highest. Windows touch, so they cover the interval exactly or do not belong to
    it: another sampler began anew.
    """
    after = current.shares or before
    window_us, active = after.elapsed - before.elapsed, after.active - before.active
    moved = moved_between(before, after)
    if min(active, *moved) < 0 or window_us != elapsed_ms * 1000:
        numbers = {"window_us": window_us, "elapsed_ms": elapsed_ms}
        return worst_case(spec, elapsed_ms, *findings, alert("meter.share.window", **numbers))
    busiest, tensor = max(active, *moved), tensor_cycles(moved)
    # Each share of a mixture is rounded up.
    if busiest > window_us or tensor * 100 > window_us * (100 + SLACK_PERCENT):
        busiest = max(busiest, tensor)
        numbers = {"busiest_us": busiest, "window_us": window_us}
        return worst_case(spec, elapsed_ms, *findings, alert("meter.share.jump", **numbers))
    high_mhz = max(0, current.sm_clock_mhz or 0) or ceil_div(spec.max_clock_khz, 1000)
    low_mhz = max(0, min(current.sm_clock_low_mhz or 0, high_mhz))
    dear, cheap = (price(moved, spec, spec.sm_count * mhz) for mhz in (high_mhz, low_mhz))
    by_pipe = tuple(
        (pipe, Flop(low=least.low, nominal=most.nominal, high=most.high))
        for (pipe, most), (_, least) in zip(dear, cheap, strict=True)
    )
    return _measured(by_pipe, CounterSource.GPM_PERCENT, elapsed_ms, findings)


def _clock_khz(ticks: int, elapsed_ms: int, spec: ChipSpec, told_mhz: int | None) -> int:
    """Highest SM clock of an interval: as told, unless the cycles passed it; else the chip's."""
    told_khz = min((told_mhz or 0) * 1000, spec.max_clock_khz)
    most = told_khz * elapsed_ms * (100 + SLACK_PERCENT) // 100 + told_khz * SLACK_MS
    return told_khz if told_khz > 0 and ticks <= most * spec.sm_count else spec.max_clock_khz


def _sms_per_count(ticks: int, elapsed_ms: int, spec: ChipSpec, clock_khz: int) -> int | None:
    """How many SM cycles one count stands for: ``sm_count``, 1, or ``None`` when neither is sure.

    It is not documented whether the counters are averaged or summed over SMs. Elapsed cycles tell:
    averaged they are near clock x time, summed near that times the SM count. Averaged is tried
    first, the dearest reading. Summed is the cheapest: it must not be taken for a sum over fewer
    units than SMs at a higher clock, so it is believed near the highest clock only.
    """
    if _slowest(spec, elapsed_ms) <= ticks <= _limit(spec, elapsed_ms):
        return spec.sm_count
    all_sms = clock_khz * elapsed_ms * spec.sm_count
    return 1 if ticks > 0 and ticks * 100 >= all_sms * SUMMED_PERCENT else None


def _odd(name: str, ticks: int, busiest: int, elapsed_ms: int) -> MeterFinding:
    return alert(name, elapsed_cycles=ticks, busiest=busiest, elapsed_ms=elapsed_ms)


def _by_activity(
    current: ChipSample,
    active_ms: int,
    spec: ChipSpec,
    elapsed_ms: int,
    findings: tuple[MeterFinding, ...],
) -> Measured:
    """Bound by kernel-active time x SM clock x SMs x all pipes: no more can have been executed.

    Nominal takes tensor work for 16-bit work only where no driver could have told it from INT8:
    elsewhere that would be cheaper than showing the counters.
    """
    if active_ms < 0 or active_ms * 100 > elapsed_ms * (100 + SLACK_PERCENT) + ACTIVE_LAG_MS * 100:
        numbers = {"active_ms": active_ms, "elapsed_ms": elapsed_ms}
        return worst_case(spec, elapsed_ms, *findings, alert("meter.activity.jump", **numbers))
    clock_khz = spec.max_clock_khz
    if current.sm_clock_mhz is not None and current.sm_clock_mhz > 0:
        clock_khz = current.sm_clock_mhz * 1000
    cycles = active_ms * clock_khz * spec.sm_count
    rates = spec.rates
    nominal = rates.most_nominal if spec.tells_pipes else rates.most_16bit
    bound = Flop(nominal=cycles * nominal, high=cycles * rates.most_high)
    by_pipe = ((Pipe.UNRESOLVED, bound),) if cycles else ()
    return _measured(by_pipe, CounterSource.KERNEL_ACTIVE_CLOCK, elapsed_ms, findings)


def _measured(
    by_pipe: tuple[tuple[Pipe, Flop], ...],
    source: CounterSource,
    elapsed_ms: int,
    findings: tuple[MeterFinding, ...],
) -> Measured:
    return make_measured(
        total=by_pipe[0][1] if len(by_pipe) == 1 else _total(by_pipe),
        by_pipe=by_pipe,
        source=source,
        elapsed_ms=elapsed_ms,
        gap=False,
        findings=findings,
    )


def _total(by_pipe: tuple[tuple[Pipe, Flop], ...]) -> Flop:
    return sum((flop for _, flop in by_pipe), NOTHING)


def energy_back(previous: ChipSample, current: ChipSample) -> tuple[MeterFinding, ...]:
    """Energy is no measure of FLOP, but a counter that went back tells of a reset or tampering."""
    if previous.energy_mj is None or current.energy_mj is None:
        return ()
    moved_mj = current.energy_mj - previous.energy_mj
    return () if moved_mj >= 0 else (warning("meter.energy.backwards", moved_mj=moved_mj),)
