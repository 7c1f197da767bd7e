"""All chips of the host: when to look, what each look charges, and what silence costs (law 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.gate.chip_meter import ChipMeter
from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.lane import Lane
from flopgate_agent.gate.settings import GateSettings
from flopgate_agent.meter import Measured
from flopgate_proto.values import Severity

Charge = tuple[ChipMeter, tuple[Measured, ...]]


class HostMeter:
    """The chips and the rhythm of looking at them.

    Attributes:
        next_look_ms: host elapsed time at which the counters should be read next.
        seen_ms: of the last look that brought anything.
    """

    def __init__(self, settings: GateSettings, findings: FindingLog, now_ms: int) -> None:
        self._settings = settings
        self._findings = findings
        self._covered_ms = now_ms
        self.seen_ms = now_ms
        self.next_look_ms = now_ms
        self.chips = [ChipMeter(index, chip, now_ms) for index, chip in enumerate(settings.chips)]

    @property
    def stall_ms(self) -> int:
        """Host elapsed time at which silence must be charged."""
        return self._covered_ms + self._settings.stall_timeout_ms

    def looked(self, now_ms: int, *, watching: bool) -> None:
        """The sampler was asked; plan the next look, sooner while a stop is being watched."""
        settings = self._settings
        interval_ms = settings.watch_interval_ms if watching else settings.sample_interval_ms
        self.next_look_ms = now_ms + interval_ms

    def watch(self, now_ms: int) -> None:
        """A stop is being watched: look soon."""
        watch_ms = now_ms + self._settings.watch_interval_ms
        self.next_look_ms = min(self.next_look_ms, watch_ms)

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
        self.seen_ms = self._covered_ms = now_ms

    def blind(self, now_ms: int) -> Iterator[Charge]:
        """Nothing came: everything is charged at the worst case."""
        self._findings.add("meter.silent", Severity.ALERT, detail="charged at the worst case")
        for chip in self.chips:
            yield chip, chip.blind(now_ms)
        self._covered_ms = now_ms

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
