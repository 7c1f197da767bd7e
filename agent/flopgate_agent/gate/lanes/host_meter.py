"""All chips of the host: when to look, what each look charges, and what silence costs (law 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from flopgate_agent.gate.lanes.lane import Lane
from flopgate_agent.gate.settings import GateSettings
from flopgate_agent.measured import Measured
from flopgate_proto.values import Severity

Charge = tuple[ChipMeter, tuple[Measured, ...]]


class HostMeter:
    """The chips, and by when to look at them next.

    Attributes:
        covered_ms: everything before this host time is measured or charged (law 3).
        look_by_ms: host elapsed time at which the counters must be read at the latest.
    """

    def __init__(self, settings: GateSettings, findings: FindingLog, now_ms: int) -> None:
        self._settings = settings
        self._findings = findings
        self.covered_ms = now_ms
        self._asked_ms: int | None = None
        self._answered = False
        self.look_by_ms = now_ms
        self.chips = [ChipMeter(index, chip, now_ms) for index, chip in enumerate(settings.chips)]

    @property
    def due_since_ms(self) -> int:
        """Since when counters are due: the first question without an answer, or ``look_by_ms``."""
        return self.look_by_ms if self._asked_ms is None else self._asked_ms

    @property
    def stall_ms(self) -> int:
        """Host elapsed time at which silence must be charged."""
        return max(self.covered_ms, self.due_since_ms) + self._settings.stall_timeout_ms

    def asked(self, now_ms: int) -> None:
        """The sampler was asked: from here on it is silent until it answers."""
        if self._asked_ms is None:
            self._asked_ms = now_ms

    def answered(self) -> None:
        """The sampler said something: it is not silent."""
        self._asked_ms, self._answered = None, True

    def reopened(self) -> None:
        """Another sampler reads the chips from here on."""
        for chip in self.chips:
            chip.reopened()

    def plan(self, look_by_ms: int, now_ms: int) -> None:
        """The counters must be read by this moment; before the first look, at once."""
        if not self._answered:
            return
        if self.covered_ms < self.look_by_ms < now_ms:
            # They were due already: a new plan does not forgive that.
            self.asked(self.look_by_ms)
        # Whoever did not answer is asked again as soon as can be.
        self.look_by_ms = look_by_ms if self._asked_ms is None else now_ms

    def look(self, samples: Sequence[ChipSample], now_ms: int) -> Iterator[Charge]:
        """What each chip did since the look before; a chip without a sample is charged."""
        by_uuid = {sample.uuid: sample for sample in samples}
        for chip in self.chips:
            uuid = chip.chip.identity.uuid
            sample = by_uuid.get(uuid)
            if sample is not None:
                yield chip, chip.look(sample)
            else:
                self._findings.add("meter.chip.missing", Severity.ALERT, subject=uuid)
                yield chip, chip.blind(now_ms)
        self.covered_ms = now_ms

    def owe(self, since_ms: int) -> None:
        """What lies between this host time and the next look is charged, be it the first one."""
        for chip in self.chips:
            chip.owe(since_ms)

    def note_processes(self, samples: Sequence[ChipSample]) -> None:
        """Take from a look only who is there: a newcomer is held whatever its counters say."""
        by_uuid = {sample.uuid: sample for sample in samples}
        for chip in self.chips:
            sample = by_uuid.get(chip.chip.identity.uuid)
            if sample is not None:
                chip.note_processes(sample)

    def blind(self, now_ms: int) -> Iterator[Charge]:
        """Nothing came: everything is charged at the worst case."""
        self._findings.add("meter.silent", Severity.ALERT, detail="charged at the worst case")
        for chip in self.chips:
            yield chip, chip.blind(now_ms)
        self.covered_ms = now_ms

    def charge(self, charge: Charge, lane: Lane | None) -> None:
        """Write one chip's FLOP into the books of the lane that it serves."""
        chip, parts = charge
        for part in parts:
            for found in part.findings:
                self._findings.add_measured(found, chip.chip.identity.uuid)
            if lane is not None and part.total.high:
                ceiling_tflop = lane.ceiling_at(chip.covered_until_ms - part.elapsed_ms)
                lane.book.charge(
                    part.total, gap=part.gap, figure=lane.figure, ceiling_tflop=ceiling_tflop
                )
