"""One chip between two looks: what it did, and since when it stands still."""

from __future__ import annotations

from dataclasses import replace

from flopgate_agent import meter, parts
from flopgate_agent.counters.sample import CYCLES, ChipSample, PipeCycles
from flopgate_agent.crosscheck import CrossCheck, RunTime
from flopgate_agent.gate.lanes.book import grow, nothing
from flopgate_agent.gate.settings import TFLOP, Chip
from flopgate_agent.measured import Measured, MeterFinding, Pipe
from flopgate_proto.codec import ChipRowEncoder
from flopgate_proto.values import Assurance, ChipRow, CounterSource

_COUNTERS = tuple(f"cycles.{name}" for name in CYCLES)
_RUN_S = "driver.run_s"
_PIPES = tuple(pipe.value for pipe in Pipe)
PIPES_READ = frozenset({CounterSource.GPM_CYCLES, CounterSource.GPM_PERCENT})
"""Sources that tell whether any pipe worked."""


class ChipMeter:
    """Running totals of one chip since enrolment.

    Attributes:
        covered_until_ms: everything before this host time is measured or charged (law 3).
        judged_until_ms: end of the last look that told whether it works. One at which not even its
            clock moved tells nothing: the driver shows what it showed before.
        still_since_ms: no compute-pipe cycle from here to that look; ``None`` while it works
            or while that cannot be read and a process holds a context.
        active: whether that look saw work, or could not see.
        worked: whether that look saw work.
    """

    def __init__(self, index: int, chip: Chip, start_ms: int) -> None:
        self.index = index
        self.chip = chip
        self.covered_until_ms = start_ms
        self.judged_until_ms = start_ms
        self.still_since_ms: int | None = None
        self.active = False
        self.worked = False
        self.pids: tuple[int, ...] = ()
        # On a host without a chain nothing is owed before the first look.
        self._owed = False
        self._previous: ChipSample | None = None
        self._survivor: ChipSample | None = None
        self._totals: dict[str, list[int]] = {}
        self._measured_ms = 0
        self._gap_ms = 0
        self._source = CounterSource.PEAK_TIME
        self._checks = CrossCheck(chip.spec)
        self._run_time = RunTime()
        self._sms_per_count: int | None = None
        # Since when counters are looked at for their reading, and the highest clock told since.
        self._base: ChipSample | None = None
        self._highest_mhz = 0
        self._encoder = ChipRowEncoder()

    def resume(self, row: ChipRow, covered_until_ms: int, *, same_boot: bool) -> None:
        """Go on from the last report's row; counters count as survivors within one boot only."""
        self.covered_until_ms, self._owed = covered_until_ms, True
        self._measured_ms, self._gap_ms = row.measured_ms, row.gap_ms
        totals = {
            pipe.pipe: [
                pipe.total.low_tflop * TFLOP,
                pipe.total.nominal_tflop * TFLOP,
                pipe.total.high_tflop * TFLOP,
            ]
            for pipe in row.pipes
        }
        self._totals = _in_order(totals)
        raw = dict(row.counters)
        run_s = raw.get(_RUN_S)
        if run_s is not None:
            self._run_time.resume(covered_until_ms, run_s)
        if same_boot and set(raw) >= set(_COUNTERS):
            self._survivor = ChipSample(
                uuid=self.chip.identity.uuid,
                taken_ms=covered_until_ms,
                cycles=PipeCycles(**{name: raw[f"cycles.{name}"] for name in CYCLES}),
                kernel_active_ms=None,
                sm_clock_mhz=None,
                energy_mj=row.energy_mj,
                pids=None,
                error=None,
                run_s=run_s,
            )

    def owe(self, since_ms: int) -> None:
        """Everything since this host time is to be charged when the first look comes."""
        self.covered_until_ms, self._owed = min(self.covered_until_ms, since_ms), True

    def begin(self) -> None:
        """Totals count from here on: the host enrols."""
        self._totals, self._measured_ms, self._gap_ms = {}, 0, 0

    def reopened(self) -> None:
        """Another sampler reads the chip from here on.

        The one before held the driver open, so that nobody could load it anew or reset the chip
        unseen; between the two that was possible.
        """
        if self._previous is not None:
            self._survivor, self._previous = self._previous, None

    def look(self, sample: ChipSample) -> tuple[Measured, ...]:
        """Everything between the last look and this one: nothing is left out, nothing twice."""
        if sample.pids is not None:
            self.pids = sample.pids
        if self._owed and sample.taken_ms < self.covered_until_ms:
            # It came late: that time has been charged, and it is no base to measure from.
            return ()
        part: Measured | None = None
        previous = self._previous
        if previous is None:
            span_ms = sample.taken_ms - self.covered_until_ms
            if span_ms > 0 and self._owed:
                part = self._gap_before(sample, span_ms)
        elif sample.taken_ms > previous.taken_ms:
            summed = self._sms_per_count == 1
            part = parts.measure(previous, sample, self.chip.spec, summed=summed)
        self._survivor, self._owed = None, True
        since_ms = self.covered_until_ms
        self._previous = sample
        self.covered_until_ms = max(since_ms, sample.taken_ms)
        self._judge(sample, part, since_ms, ticked=_ticked(previous, sample))
        if part is not None:
            self._add(part)
            if part.gap:
                # What was not believed is nothing to compare with.
                self._checks.reset()
        told = () if self._sms_per_count is not None else self._calibration(previous, sample)
        found = told + self._checks.look(sample, 0 if part is None else part.total.nominal)
        if part is None:
            return ()
        if sample.run_s is not None:
            found += self._run_time.look(sample)
        return (replace(part, findings=(*part.findings, *found)) if found else part,)

    def _calibration(
        self, previous: ChipSample | None, sample: ChipSample
    ) -> tuple[MeterFinding, ...]:
        """Once for each start: how the counters turned out to count."""
        if previous is None or self._base is None:
            self._base, self._highest_mhz = previous or sample, 0
        told_mhz = sample.sm_clock_mhz or self.chip.spec.max_clock_khz // 1000
        highest_mhz = self._highest_mhz = max(self._highest_mhz, told_mhz)
        # Looks may come oftener than a reading can be told.
        if sample.taken_ms - self._base.taken_ms < meter.CALIBRATION_MS:
            return ()
        since, self._base, self._highest_mhz = self._base, sample, 0
        told = parts.calibration(since, replace(sample, sm_clock_mhz=highest_mhz), self.chip.spec)
        if told is None:
            return ()
        self._sms_per_count = dict(told.numbers)["sms_per_count"]
        return (told,)

    def note_processes(self, sample: ChipSample) -> None:
        """Who holds a context on it, as far as that could be read."""
        if sample.pids is not None:
            self.pids = sample.pids

    def _gap_before(self, sample: ChipSample, span_ms: int) -> Measured:
        if self._survivor is None:
            gap = meter.worst_case(self.chip.spec, span_ms)
        else:
            summed = self._sms_per_count == 1
            spec = self.chip.spec
            gap = parts.tighten_gap(self._survivor, sample, spec, span_ms, summed=summed)
        if gap.gap:
            # Another driver may be loaded now, and count otherwise.
            self._sms_per_count = None
        return gap

    def blind(self, until_ms: int) -> tuple[Measured, ...]:
        """Nothing could be read up to here: charge it, and let the next look start anew."""
        span_ms = until_ms - self.covered_until_ms
        self._checks.reset()
        # A survivor would speak for more than the time that is not charged yet.
        self._previous, self._survivor, self._owed = None, None, True
        self.still_since_ms, self.active, self.worked = None, True, False
        if span_ms <= 0:
            return ()
        self.covered_until_ms = until_ms
        part = meter.worst_case(self.chip.spec, span_ms)
        self._add(part)
        return (part,)

    def _judge(
        self, sample: ChipSample, part: Measured | None, since_ms: int, *, ticked: bool
    ) -> None:
        nothing = part is not None and not (part.by_pipe or part.gap)
        if nothing and not ticked and sample.pids != ():
            return
        self.judged_until_ms = self.covered_until_ms
        by_pipes = part is not None and part.source in PIPES_READ and not part.gap
        if by_pipes and part is not None:
            still = not part.by_pipe
        else:
            # Pipes cannot be read: only a chip without any context stands still (law 1).
            still = sample.error is None and sample.pids == ()
        self.active = not still
        self.worked = by_pipes and not still
        if not still:
            self.still_since_ms = None
        elif self.still_since_ms is None:
            self.still_since_ms = since_ms if by_pipes else sample.taken_ms

    def _add(self, part: Measured) -> None:
        self._source = part.source
        if part.gap:
            self._gap_ms += part.elapsed_ms
        else:
            self._measured_ms += part.elapsed_ms
        for pipe, flop in part.by_pipe:
            known = self._totals.get(pipe)
            if known is None:
                known = nothing()
                self._totals = _in_order({**self._totals, pipe.value: known})
            grow(known, flop)

    def encoded_row(self) -> bytes:
        """The chip's row of the next report, as its bytes are salted and hashed."""
        last = self._previous or self._survivor
        names, counts = _raw(last)
        return self._encoder.encode(
            self.index,
            self._source,
            Assurance.SOFTWARE,
            pipes=tuple(self._totals),
            # Whole teraFLOP; the remainder stays in the exact counts.
            totals_tflop=[
                (low // TFLOP, nominal // TFLOP, high // TFLOP)
                for low, nominal, high in self._totals.values()
            ],
            measured_ms=self._measured_ms,
            gap_ms=self._gap_ms,
            energy_mj=None if last is None else last.energy_mj,
            names=names,
            counts=counts,
        )


def _in_order(totals: dict[str, list[int]]) -> dict[str, list[int]]:
    """Counts by pipe, in the order in which a row has them."""
    return {name: totals[name] for name in _PIPES if name in totals}


def _ticked(previous: ChipSample | None, sample: ChipSample) -> bool:
    """Whether the chip's clock moved between two looks, as far as that can be read."""
    if previous is None or previous.cycles is None or sample.cycles is None:
        return True
    return sample.cycles.elapsed != previous.cycles.elapsed


def _raw(last: ChipSample | None) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and values of the raw counters that a row holds."""
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    if last is None:
        return names, counts
    # What is not believed now is no base after a restart either.
    if last.cycles is not None and not last.mig:
        names, counts = _COUNTERS, last.cycles.counts()
    if last.run_s is not None:
        names, counts = (*names, _RUN_S), (*counts, last.run_s)
    return names, counts
