"""What the meter says: FLOP three ways, by pipe, and what looked wrong. Frozen values."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from flopgate_proto.quick import quick
from flopgate_proto.values import CounterSource, Severity


class Pipe(enum.StrEnum):
    """What did the work. Names are stable: they stand in reports."""

    HMMA = "hmma"
    IMMA = "imma"
    DMMA = "dmma"
    MMA_OTHER = "mma_other"
    FP64 = "fp64"
    FP32 = "fp32"
    FP16 = "fp16"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFinding:
    """Something implausible, for people: it raises a figure, it never revokes by itself.

    ``id`` is stable (``meter.counter.backwards``); ``numbers`` are what it rests on.
    """

    id: str
    severity: Severity
    numbers: tuple[tuple[str, int], ...] = ()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Flop:
    """A count of FLOP, three ways, each 0 or more, ``low <= nominal <= high``."""

    low: int = 0
    nominal: int = 0
    high: int = 0

    def __add__(self, other: Flop) -> Flop:
        """Sum of two counts."""
        return Flop(
            low=self.low + other.low,
            nominal=self.nominal + other.nominal,
            high=self.high + other.high,
        )


NOTHING = Flop()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One chip over one interval.

    Attributes:
        total: sum over ``by_pipe``.
        by_pipe: only pipes that worked, in the order of `Pipe`.
        source: the counters that this rests on.
        elapsed_ms: host time covered, 0 or more.
        gap: charged at the worst case because nothing could be measured.
        findings: why, and what else looked wrong.
    """

    total: Flop
    by_pipe: tuple[tuple[Pipe, Flop], ...]
    source: CounterSource
    elapsed_ms: int
    gap: bool
    findings: tuple[MeterFinding, ...]


def info(name: str, **numbers: int) -> MeterFinding:
    """A finding that only explains a figure."""
    return MeterFinding(id=name, severity=Severity.INFO, numbers=tuple(numbers.items()))


def warning(name: str, **numbers: int) -> MeterFinding:
    """A finding that somebody should look at."""
    return MeterFinding(id=name, severity=Severity.WARNING, numbers=tuple(numbers.items()))


def alert(name: str, **numbers: int) -> MeterFinding:
    """A finding that cannot be on an honest host in order."""
    return MeterFinding(id=name, severity=Severity.ALERT, numbers=tuple(numbers.items()))
