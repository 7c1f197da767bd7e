"""The FLOP of a chip that may be cut into instances (MIG): of each one, and of the rest. Pure.

An instance is metered as a chip with so many SMs. Laws of this file, beside those of `meter`:
1. Each SM is measured by an instance, charged at the worst case, or could not have worked: the
   driver lets nothing run outside an instance, and there was no room for another one.
2. An instance measures itself only if no other can have had its id meanwhile: more cycles are
   counted than that leaves time for. What comes, goes or cannot be read is no part of a sum; its
   SMs belong to the rest.
"""

from __future__ import annotations

from dataclasses import replace

from flopgate_agent import meter
from flopgate_agent.counters.sample import ChipSample, Instance
from flopgate_agent.measured import NOTHING, Measured, MeterFinding, Pipe, alert, warning
from flopgate_proto.chips import ChipSpec
from flopgate_proto.values import CounterSource


def measure(
    previous: ChipSample, current: ChipSample, spec: ChipSpec, *, summed: bool = False
) -> Measured:
    """Count the FLOP of one chip between two neighbouring samples, as `meter.measure` does."""
    if not (previous.mig and current.mig):
        return meter.measure(previous, current, spec, summed=summed)
    elapsed_ms = current.taken_ms - previous.taken_ms
    readable = previous.error is None and current.error is None and elapsed_ms >= 0
    if not (readable and _cut(previous, current)):
        return meter.measure(previous, current, spec, summed=summed)
    return _by_parts(previous, current, spec, elapsed_ms, gap=False, summed=summed)


def tighten_gap(
    last: ChipSample, now: ChipSample, spec: ChipSpec, elapsed_ms: int, *, summed: bool = False
) -> Measured:
    """Measure a gap, as `meter.tighten_gap` does.

    What no instance covers is charged: over longer times than those between two looks there is
    time to make one, to compute in it and to put everything back.
    """
    if now.error is not None or elapsed_ms < 0 or not _cut(last, now):
        return meter.tighten_gap(last, now, spec, elapsed_ms, summed=summed)
    return _by_parts(
        replace(last, taken_ms=now.taken_ms - elapsed_ms),
        # The clock told now says nothing of the gap: the highest stands for it.
        replace(now, sm_clock_mhz=None),
        spec,
        elapsed_ms,
        gap=True,
        summed=summed,
    )


def calibration(previous: ChipSample, current: ChipSample, spec: ChipSpec) -> MeterFinding | None:
    """Which reading of the counters fits, as `meter.calibration` tells; by any instance."""
    if not _cut(previous, current):
        return meter.calibration(previous, current, spec)
    before, after = previous.instances or (), current.instances or ()
    known = {one.id: one for one in before}
    pairs = [(known[one.id], one) for one in after if one.id in known]
    elapsed_ms = current.taken_ms - previous.taken_ms
    for was, one in pairs if _possible(before, spec) and _possible(after, spec) else ():
        part = spec.part(one.sm_count)
        if one.cycles is None or not meter.survived(one.cycles, part, elapsed_ms):
            continue
        told = meter.calibration(_alone(previous, was), _alone(current, one), part)
        if told is not None:
            return _of(told, one.id)
    return None


def _cut(last: ChipSample, now: ChipSample) -> bool:
    """Whether both show instances of the same chip."""
    shown = last.instances is not None and now.instances is not None
    return shown and last.mig and now.mig and last.uuid == now.uuid


def _by_parts(
    last: ChipSample, now: ChipSample, spec: ChipSpec, elapsed_ms: int, *, gap: bool, summed: bool
) -> Measured:
    before, after = last.instances or (), now.instances or ()
    if not (_possible(before, spec) and _possible(after, spec)):
        odd = alert("meter.instance.nonsense", before=len(before), after=len(after))
        return meter.worst_case(spec, elapsed_ms, odd)
    if back := meter.energy_back(last, now):
        return meter.worst_case(spec, elapsed_ms, *back)
    known = {one.id: one for one in before}
    measured: list[Measured] = []
    findings: list[MeterFinding] = []
    covered = 0
    for one in after:
        was = known.get(one.id)
        part = None if was is None else _measure_one((was, one), last, now, spec, summed=summed)
        findings += [] if part is None else part.findings
        if part is not None and not part.gap:
            measured.append(part)
            covered += one.sm_count
    whole = not gap and len(measured) == len(before) == len(after) and last.full and now.full
    charged_sms = 0 if whole else _rest(spec, covered)
    if charged_sms:
        numbers = {"sms": charged_sms, "before": len(before), "after": len(after)}
        findings.append(warning("meter.mig.uncovered", **numbers))
        measured.append(meter.worst_case(spec.part(charged_sms), elapsed_ms))
    return _sum(measured, elapsed_ms, tuple(findings), gap=charged_sms > 0)


def _possible(instances: tuple[Instance, ...], spec: ChipSpec) -> bool:
    """Whether a chip can be cut like this."""
    smallest = min((one.sm_count for one in instances), default=1)
    different = len({one.id for one in instances}) == len(instances)
    fits = sum(one.sm_count for one in instances) <= spec.sm_count
    return smallest > 0 and different and fits


def _rest(spec: ChipSpec, covered: int) -> int:
    """SMs to be charged, where they are not known to have stood still."""
    return spec.sm_count - covered


def _measure_one(
    seen: tuple[Instance, Instance],
    last: ChipSample,
    now: ChipSample,
    spec: ChipSpec,
    *,
    summed: bool,
) -> Measured | None:
    """One instance from one look to the next; ``None``: there is nothing to go by."""
    before, after = seen
    if before.cycles is None or after.cycles is None or before.sm_count != after.sm_count:
        return None
    elapsed_ms, part = now.taken_ms - last.taken_ms, spec.part(after.sm_count)
    if not meter.survived(after.cycles, part, elapsed_ms):
        numbers = {"counted_cycles": after.cycles.elapsed, "elapsed_ms": elapsed_ms}
        renewed = warning("meter.instance.reset_possible", instance=after.id, **numbers)
        return meter.worst_case(part, elapsed_ms, renewed)
    measured = meter.measure(_alone(last, before), _alone(now, after), part, summed=summed)
    return replace(measured, findings=tuple(_of(found, after.id) for found in measured.findings))


def _alone(sample: ChipSample, one: Instance) -> ChipSample:
    """The look at a chip that is this instance. All instances share the clock of the chip."""
    return replace(
        sample,
        cycles=one.cycles,
        shares=None,
        kernel_active_ms=None,
        energy_mj=None,
        mig=False,
        instances=None,
    )


def _of(finding: MeterFinding, instance: int) -> MeterFinding:
    return replace(finding, numbers=(("instance", instance), *finding.numbers))


def _sum(
    parts: list[Measured], elapsed_ms: int, findings: tuple[MeterFinding, ...], *, gap: bool
) -> Measured:
    by_pipe = dict.fromkeys(Pipe, NOTHING)
    for part in parts:
        for pipe, flop in part.by_pipe:
            by_pipe[pipe] = by_pipe[pipe] + flop
    return Measured(
        total=sum((part.total for part in parts), NOTHING),
        by_pipe=tuple((pipe, flop) for pipe, flop in by_pipe.items() if flop.high),
        source=CounterSource.PEAK_TIME if gap else CounterSource.GPM_CYCLES,
        elapsed_ms=elapsed_ms,
        gap=gap,
        findings=findings,
    )
