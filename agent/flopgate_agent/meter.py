"""From two samples to FLOP: integers low, nominal and high for what lies between. Pure.

Laws of this file:
1. Every interval is measured or charged at the worst case. Losing data never makes it cheaper.
2. Any pair of samples gives a `Measured`, never an exception.
3. ``low <= nominal <= high``, by pipe and in total.
4. The counters cannot tell formats apart; the three figures say how much that matters. FLOP are
   executed dense FLOP, padding included. The INTEGER pipe is not counted (no FLOP), nor is what
   structured sparsity skips.
"""

from __future__ import annotations

from flopgate_agent.counters.sample import ChipIdentity, ChipSample, PipeCycles
from flopgate_agent.measured import (
    NOTHING,
    Finding,
    Flop,
    Measured,
    Pipe,
    alert,
    info,
    warning,
)
from flopgate_proto.chips import ChipSpec, spec_for
from flopgate_proto.values import CounterSource

SLACK_PERCENT = 5
"""How far counters may run ahead of clock x time before they are called impossible."""
SLACK_MS = 50
"""Counters and clock are not read at one instant: a busy host may come between."""
ACTIVE_LAG_MS = 3_000
"""The driver's utilisation buffer trails by a sample period, 2 s at most, then catches up."""
SLOWEST_PERCENT = 5
"""Idle clocks (120 of 1965 MHz on B200) lie above this part of the highest: fewer cycles fit no
reading."""
CALIBRATION_MS = 500
"""Shortest interval by which the reading of the counters is told: ten times `SLACK_MS`."""


def spec_of(chip: ChipIdentity) -> ChipSpec:
    """Spec of a chip that the sampler found.

    Raises:
        ChipTableError: the table in this installation is damaged.
    """
    return spec_for(chip.pci_device_id, chip.nvml_name, chip.max_sm_clock_mhz)


def measure(previous: ChipSample, current: ChipSample, spec: ChipSpec) -> Measured:
    """Count the FLOP of one chip between two samples; always gives a value.

    The best source that both samples carry is used: cycles, else shares, else kernel-active time,
    else peak x time. Kernel-active time and clocks run since the sample before ``current``: the two
    must be neighbours.
    """
    elapsed_ms = current.taken_ms - previous.taken_ms
    if previous.uuid != current.uuid:
        return worst_case(spec, elapsed_ms, alert("meter.sample.mismatch"))
    if elapsed_ms < 0:
        return worst_case(spec, 0, alert("meter.time.backwards", elapsed_ms=elapsed_ms))
    if current.error is not None:
        return worst_case(spec, elapsed_ms, alert("meter.chip.unreadable"))
    findings = _energy(previous, current)
    if previous.mig or current.mig:
        # Whether counters of the whole chip include its instances is not documented.
        return worst_case(spec, elapsed_ms, *findings, warning("meter.mig.enabled"))
    if previous.cycles is not None and current.cycles is not None:
        if _stuck(previous.cycles, current):
            active_ms = current.kernel_active_ms or 0
            stuck = alert("meter.counter.stuck", active_ms=active_ms, elapsed_ms=elapsed_ms)
            return _by_activity(current, active_ms, spec, elapsed_ms, (*findings, stuck))
        return _by_cycles(previous.cycles, current.cycles, spec, elapsed_ms, findings)
    if previous.shares is not None and current.shares is not None:
        return _by_shares(previous.shares, current, spec, elapsed_ms, findings)
    if previous.cycles is not None or previous.shares is not None:
        findings = (*findings, warning("meter.gpm.unavailable"))
    if previous.error is not None:
        # What happened while it was lost was not seen by its sample buffer either.
        return worst_case(spec, elapsed_ms, *findings, alert("meter.chip.was_unreadable"))
    if current.kernel_active_ms is not None:
        return _by_activity(current, current.kernel_active_ms, spec, elapsed_ms, findings)
    return worst_case(spec, elapsed_ms, *findings, warning("meter.counter.missing"))


def worst_case(spec: ChipSpec, elapsed_ms: int, *findings: Finding) -> Measured:
    """Charge all pipes of the chip at its highest clock: nothing measured lies above it.

    ``low`` is 0: the chip may have stood still. Negative time counts as none.
    """
    span_ms = max(0, elapsed_ms)
    total = Flop(
        nominal=_ceil_div(spec.worst_nominal_flop_per_s * span_ms, 1000),
        high=_ceil_div(spec.worst_high_flop_per_s * span_ms, 1000),
    )
    return Measured(
        total=total,
        by_pipe=((Pipe.UNRESOLVED, total),) if total.high else (),
        source=CounterSource.PEAK_TIME,
        elapsed_ms=span_ms,
        gap=True,
        findings=findings,
    )


def tighten_gap(last: ChipSample, now: ChipSample, spec: ChipSpec, elapsed_ms: int) -> Measured:
    """Measure a gap by cumulative cycles, if they demonstrably survived it; else the worst case.

    ``last`` was read when the gap began or later; ``elapsed_ms`` is host time as the gate knows it,
    not the samples' stamps.
    """
    before, after = last.cycles, now.cycles
    if last.uuid != now.uuid or now.error or now.mig or before is None or after is None:
        return worst_case(spec, elapsed_ms, warning("meter.gap.unmeasured"))
    ticks, findings = after.elapsed - before.elapsed, _energy(last, now)
    if findings or not _survived(after, spec, elapsed_ms):
        numbers = {"counted_cycles": after.elapsed, "elapsed_ms": elapsed_ms}
        unproven = warning("meter.gap.reset_possible", **numbers)
        return worst_case(spec, elapsed_ms, *findings, unproven)
    one_sm = spec.max_clock_khz * elapsed_ms
    if _sms_per_count(ticks, one_sm, _limit(spec, elapsed_ms), spec.sm_count) is None:
        numbers = {"elapsed_cycles": ticks, "elapsed_ms": elapsed_ms}
        return worst_case(spec, elapsed_ms, warning("meter.gap.not_continuous", **numbers))
    return _by_cycles(before, after, spec, elapsed_ms, (info("meter.gap.tightened"),))


def _survived(after: PipeCycles, spec: ChipSpec, elapsed_ms: int) -> bool:
    """Whether more cycles are counted than could have been since a reset inside the gap.

    At the highest clock, and summed over SMs whatever the counters seemed to be before: a driver
    that was loaded anew may be another version.
    """
    return after.elapsed > _limit(spec, max(0, elapsed_ms)) * spec.sm_count


def calibration(previous: ChipSample, current: ChipSample, spec: ChipSpec) -> Finding | None:
    """Which reading of the cumulative counters fits here, with its numbers; ``None``: not to tell.

    ``sms_per_count`` is 1 where they are summed over SMs, the number of SMs where averaged.
    """
    elapsed_ms = current.taken_ms - previous.taken_ms
    if previous.cycles is None or current.cycles is None or previous.mig or current.mig:
        return None
    if elapsed_ms < CALIBRATION_MS:
        return None
    ticks = current.cycles.elapsed - previous.cycles.elapsed
    one_sm = spec.max_clock_khz * elapsed_ms
    sms_per_count = _sms_per_count(ticks, one_sm, _limit(spec, elapsed_ms), spec.sm_count)
    if sms_per_count is None:
        return None
    numbers = {"elapsed_cycles": ticks, "elapsed_ms": elapsed_ms, "clock_khz": spec.max_clock_khz}
    return info("meter.counter.calibrated", sms_per_count=sms_per_count, **numbers)


def _limit(spec: ChipSpec, elapsed_ms: int) -> int:
    """Most cycles of one SM in this time."""
    one_sm = spec.max_clock_khz * elapsed_ms
    return (one_sm * (100 + SLACK_PERCENT)) // 100 + spec.max_clock_khz * SLACK_MS


def _by_cycles(
    before: PipeCycles,
    after: PipeCycles,
    spec: ChipSpec,
    elapsed_ms: int,
    findings: tuple[Finding, ...],
) -> Measured:
    """Price the cycles of each pipe, after checking that they are possible."""
    ticks, active = after.elapsed - before.elapsed, after.active - before.active
    moved = _moved(before, after)
    lowest, busiest = min(ticks, active, *moved), max(active, _tensor(moved), *moved)
    if lowest < 0:
        back = alert("meter.counter.backwards", cycles=lowest, elapsed_ms=elapsed_ms)
        return worst_case(spec, elapsed_ms, *findings, back)
    one_sm, limit = spec.max_clock_khz * elapsed_ms, _limit(spec, elapsed_ms)
    if ticks > limit * spec.sm_count:
        return worst_case(
            spec, elapsed_ms, *findings, _odd("meter.counter.jump", ticks, busiest, elapsed_ms)
        )
    per_count = _sms_per_count(ticks, one_sm, limit, spec.sm_count)
    if busiest and per_count is None:
        odd = _odd("meter.counter.uncalibrated", ticks, busiest, elapsed_ms)
        return worst_case(spec, elapsed_ms, *findings, odd)
    if busiest * (per_count or 0) > limit * spec.sm_count:
        return worst_case(
            spec, elapsed_ms, *findings, _odd("meter.counter.jump", ticks, busiest, elapsed_ms)
        )
    priced = _price(moved, spec, per_count or 0) if any(moved) else ()
    return _measured(priced, CounterSource.GPM_CYCLES, elapsed_ms, findings)


def _by_shares(
    before: PipeCycles,
    current: ChipSample,
    spec: ChipSpec,
    elapsed_ms: int,
    findings: tuple[Finding, ...],
) -> Measured:
    """Price the time for which each pipe was busy, by the clocks seen meanwhile.

    Percentages count cycles of a clock that moves: ``low`` rests on the lowest clock seen, the
    other two on the highest. Windows touch, so they cover the interval exactly or do not belong to
    it: another sampler began anew.
    """
    after = current.shares or before
    window_us, active = after.elapsed - before.elapsed, after.active - before.active
    moved = _moved(before, after)
    if min(active, *moved) < 0 or window_us != elapsed_ms * 1000:
        numbers = {"window_us": window_us, "elapsed_ms": elapsed_ms}
        return worst_case(spec, elapsed_ms, *findings, alert("meter.share.window", **numbers))
    busiest, tensor = max(active, *moved), _tensor(moved)
    # Each share of a mixture is rounded up.
    if busiest > window_us or tensor * 100 > window_us * (100 + SLACK_PERCENT):
        busiest = max(busiest, tensor)
        numbers = {"busiest_us": busiest, "window_us": window_us}
        return worst_case(spec, elapsed_ms, *findings, alert("meter.share.jump", **numbers))
    high_mhz = max(0, current.sm_clock_mhz or 0) or _ceil_div(spec.max_clock_khz, 1000)
    low_mhz = max(0, min(current.sm_clock_low_mhz or 0, high_mhz))
    dear, cheap = (_price(moved, spec, spec.sm_count * mhz) for mhz in (high_mhz, low_mhz))
    by_pipe = tuple(
        (pipe, Flop(low=least.low, nominal=most.nominal, high=most.high))
        for (pipe, most), (_, least) in zip(dear, cheap, strict=True)
    )
    return _measured(by_pipe, CounterSource.GPM_PERCENT, elapsed_ms, findings)


def _stuck(before: PipeCycles, current: ChipSample) -> bool:
    """Cycles that stand still are idleness, unless the driver saw kernels meanwhile."""
    return bool(current.kernel_active_ms) and before == current.cycles


def _sms_per_count(ticks: int, one_sm: int, limit: int, sm_count: int) -> int | None:
    """How many SM cycles one count stands for: ``sm_count``, 1, or ``None`` when neither fits.

    It is not documented whether the counters are averaged or summed over SMs. Elapsed cycles tell:
    averaged they are near clock x time, summed near that times the SM count. Averaged is tried
    first: where a chip has few SMs and both fit, the dearer reading is taken.
    """
    slowest = one_sm * SLOWEST_PERCENT // 100
    if slowest <= ticks <= limit and ticks:
        return sm_count
    if slowest * sm_count <= ticks <= limit * sm_count and ticks:
        return 1
    return None


def _moved(before: PipeCycles, after: PipeCycles) -> tuple[int, ...]:
    """Cycles of each pipe between two samples, in the order in which `_price` takes them."""
    return (
        after.mma - before.mma,
        after.dmma - before.dmma,
        after.hmma - before.hmma,
        after.imma - before.imma,
        after.dfma - before.dfma,
        after.integer - before.integer,
        after.fp64 - before.fp64,
        after.fp32 - before.fp32,
        after.fp16 - before.fp16,
    )


def _tensor(moved: tuple[int, ...]) -> int:
    """Cycles of the tensor cores, which do one thing at a time, whatever name it has.

    DMMA and DFMA may be two names of one thing.
    """
    mma, dmma, hmma, imma, dfma, *_others = moved
    return max(mma, hmma + imma + max(dmma, dfma))


def _odd(name: str, ticks: int, busiest: int, elapsed_ms: int) -> Finding:
    return alert(name, elapsed_cycles=ticks, busiest=busiest, elapsed_ms=elapsed_ms)


def _price(moved: tuple[int, ...], spec: ChipSpec, per_count: int) -> tuple[tuple[Pipe, Flop], ...]:
    """FLOP of each pipe that worked: low, nominal and high rate of its formats."""
    mma, dmma, hmma, imma, dfma, _integer, fp64, fp32, fp16 = moved
    rates = spec.rates
    priced: list[tuple[Pipe, int, int, int, int]] = []
    if hmma:
        high = rates.hmma_high
        priced.append((Pipe.HMMA, hmma, rates.tensor_low, rates.half_tensor, high))
    if imma:
        priced.append((Pipe.IMMA, imma, rates.imma, rates.imma, rates.imma))
    if dmma + dfma:
        priced.append((Pipe.DMMA, dmma + dfma, rates.dmma, rates.dmma, rates.dmma))
    # Tensor work on none of the known pipes (FP8 and FP4 of some generation): any format.
    other = mma - hmma - imma - dmma - dfma
    if other > 0:
        low, nominal = rates.tensor_low, rates.half_tensor
        priced.append((Pipe.MMA_OTHER, other, low, nominal, rates.tensor_high))
    for pipe, cycles, rate in (
        (Pipe.FP64, fp64, rates.fp64),
        (Pipe.FP32, fp32, rates.fp32),
        (Pipe.FP16, fp16, rates.fp16),
    ):
        if cycles:
            # An addition takes as long as a multiply-add, and is half of it.
            priced.append((pipe, cycles, rate // 2, rate, rate))
    # Rates of an unknown chip are the table's highest: nothing speaks for a lower bound.
    least = 1 if spec.known else 0
    return tuple(
        [
            (
                pipe,
                Flop(
                    low=cycles * per_count * low * least,
                    nominal=cycles * per_count * nominal,
                    high=cycles * per_count * high,
                ),
            )
            for pipe, cycles, low, nominal, high in priced
        ]
    )


def _by_activity(
    current: ChipSample,
    active_ms: int,
    spec: ChipSpec,
    elapsed_ms: int,
    findings: tuple[Finding, ...],
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
    findings: tuple[Finding, ...],
) -> Measured:
    return Measured(
        total=_total(by_pipe),
        by_pipe=by_pipe,
        source=source,
        elapsed_ms=elapsed_ms,
        gap=False,
        findings=findings,
    )


def _total(by_pipe: tuple[tuple[Pipe, Flop], ...]) -> Flop:
    if len(by_pipe) <= 1:
        return by_pipe[0][1] if by_pipe else NOTHING
    return sum((flop for _, flop in by_pipe), NOTHING)


def _energy(previous: ChipSample, current: ChipSample) -> tuple[Finding, ...]:
    """Energy is no measure of FLOP, but a counter that went back tells of a reset or tampering."""
    if previous.energy_mj is None or current.energy_mj is None:
        return ()
    moved_mj = current.energy_mj - previous.energy_mj
    return () if moved_mj >= 0 else (warning("meter.energy.backwards", moved_mj=moved_mj),)


def _ceil_div(value: int, by: int) -> int:
    return -(-value // by)
