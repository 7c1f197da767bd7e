"""Chip rows: what a report holds as salted leaves under one root."""

from __future__ import annotations

from collections.abc import Sequence

from flopgate_proto.codec import checks
from flopgate_proto.codec.common import figures_of
from flopgate_proto.limits import COUNTERS_MAX, PIPES_MAX, SALTED_ROW_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import Assurance, CounterSource
from flopgate_proto.values.reports import ChipRow, PipeFigures


class ChipRowEncoder:
    """Encodes rows of one chip, one after another, as bytes to be salted and hashed as they are.

    Names of pipes and counters hardly ever change, and making their messages costs two thirds of an
    encoding: they are made once and filled again.
    """

    __slots__ = ("_counters", "_counts", "_gap_ms", "_message", "_place", "_shape", "_totals")

    def __init__(self) -> None:
        self._shape: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._place: tuple[int, CounterSource, Assurance] | None = None

    def _take(self, pipes: tuple[str, ...], names: tuple[str, ...]) -> None:
        self._shape, self._place = (pipes, names), None
        self._message = pb.ChipRow(
            pipes=[pb.PipeFigures(pipe=pipe, total=pb.Figures()) for pipe in pipes],
            counters=[pb.RawCounter(name=name) for name in names],
        )
        self._totals = [pipe.total for pipe in self._message.pipes]
        self._counters = list(self._message.counters)
        self._counts: Sequence[int] = [0] * len(names)
        self._gap_ms = 0

    def encode(
        self,
        chip: int,
        source: CounterSource,
        assurance: Assurance,
        *,
        pipes: tuple[str, ...],
        totals_tflop: Sequence[tuple[int, int, int]],
        measured_ms: int,
        gap_ms: int,
        energy_mj: int | None,
        names: tuple[str, ...],
        counts: Sequence[int],
    ) -> bytes:
        """Bytes of the row that a `ChipRow` of these would be.

        ``totals_tflop``: low, nominal and high of each of ``pipes``; ``counts``: of the raw
        counters ``names``; the rest is as in `ChipRow`.
        """
        if (pipes, names) != self._shape:
            self._take(pipes, names)
        message, place = self._message, (chip, source, assurance)
        if place != self._place:
            message.chip = chip
            message.source = checks.wire(source)
            message.assurance = checks.wire(assurance)
            self._place = place
        message.measured_ms = measured_ms
        if gap_ms != self._gap_ms:
            message.gap_ms = self._gap_ms = gap_ms
        if energy_mj is None:
            message.ClearField("energy_mj")
        else:
            message.energy_mj = energy_mj
        for index, total in enumerate(self._totals):
            total.low_tflop, total.nominal_tflop, total.high_tflop = totals_tflop[index]
        for index, counter in enumerate(self._counters):
            # Most of a chip's counters stand still.
            if counts[index] != self._counts[index]:
                counter.value = counts[index]
        self._counts = counts
        return message.SerializeToString(deterministic=True)


def encode_chip_row(value: ChipRow) -> bytes:
    """Bytes of a chip row, to be salted and hashed as they are."""
    totals = [pipe.total for pipe in value.pipes]
    return ChipRowEncoder().encode(
        value.chip,
        value.source,
        value.assurance,
        pipes=tuple(pipe.pipe for pipe in value.pipes),
        totals_tflop=[(one.low_tflop, one.nominal_tflop, one.high_tflop) for one in totals],
        measured_ms=value.measured_ms,
        gap_ms=value.gap_ms,
        energy_mj=value.energy_mj,
        names=tuple(name for name, _ in value.counters),
        counts=[count for _, count in value.counters],
    )


def decode_chip_row(data: bytes) -> ChipRow:
    """Chip row from bytes that were checked against the signed root."""
    message = checks.parse_exact(pb.ChipRow(), data, SALTED_ROW_BYTES_MAX)
    return ChipRow(
        chip=message.chip,
        source=checks.member(CounterSource, message.source, "counter source"),
        assurance=checks.member(Assurance, message.assurance, "assurance"),
        pipes=tuple(
            PipeFigures(
                pipe=checks.text(pipe.pipe, "pipe", required=True),
                total=figures_of(pipe.total, "pipe total"),
            )
            for pipe in checks.few(message.pipes, PIPES_MAX, "pipes")
        ),
        measured_ms=checks.count(message.measured_ms, "measured_ms"),
        gap_ms=checks.count(message.gap_ms, "gap_ms"),
        energy_mj=checks.count(message.energy_mj, "energy_mj")
        if message.HasField("energy_mj")
        else None,
        counters=tuple(
            (
                checks.text(counter.name, "counter name", required=True),
                checks.count(counter.value, "counter value"),
            )
            for counter in checks.few(message.counters, COUNTERS_MAX, "counters")
        ),
    )
