"""Chip rows: what a report holds as salted leaves under one root."""

from __future__ import annotations

from flopgate_proto.codec import checks
from flopgate_proto.codec.common import figures_of, fill_figures
from flopgate_proto.limits import COUNTERS_MAX, PIPES_MAX, SALTED_ROW_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import Assurance, CounterSource
from flopgate_proto.values.reports import ChipRow, PipeFigures


class ChipRowEncoder:
    """Encodes rows of one chip, one after another, as bytes to be salted and hashed as they are.

    Names of pipes and counters hardly ever change, and making their messages costs two thirds of an
    encoding: they are made once and filled again.
    """

    __slots__ = ("_counters", "_message", "_names", "_pipes", "_totals")

    def __init__(self) -> None:
        self._take((), ())

    def _take(self, pipes: tuple[str, ...], names: tuple[str, ...]) -> None:
        self._pipes, self._names = pipes, names
        self._message = pb.ChipRow(
            pipes=[pb.PipeFigures(pipe=pipe, total=pb.Figures()) for pipe in pipes],
            counters=[pb.RawCounter(name=name) for name in names],
        )
        self._totals = [pipe.total for pipe in self._message.pipes]
        self._counters = list(self._message.counters)

    def encode(self, value: ChipRow) -> bytes:
        """Bytes of a row."""
        pipes = tuple([pipe.pipe for pipe in value.pipes])
        names = tuple([name for name, _ in value.counters])
        if pipes != self._pipes or names != self._names:
            self._take(pipes, names)
        message = self._message
        message.chip = value.chip
        message.source = checks.wire(value.source)
        message.assurance = checks.wire(value.assurance)
        message.measured_ms = value.measured_ms
        message.gap_ms = value.gap_ms
        if value.energy_mj is None:
            message.ClearField("energy_mj")
        else:
            message.energy_mj = value.energy_mj
        for total, pipe in zip(self._totals, value.pipes, strict=True):
            fill_figures(total, pipe.total)
        for counter, (_, count) in zip(self._counters, value.counters, strict=True):
            counter.value = count
        return message.SerializeToString(deterministic=True)


def encode_chip_row(value: ChipRow) -> bytes:
    """Bytes of a chip row, to be salted and hashed as they are."""
    return ChipRowEncoder().encode(value)


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
