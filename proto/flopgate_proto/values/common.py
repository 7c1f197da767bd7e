"""Vocabulary that several statements share. Enum values are those on the wire."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from flopgate_proto.quick import quick


class ScopeKind(enum.IntEnum):
    """What a scope names."""

    EVERYTHING = 1
    JURISDICTION = 2
    CUSTODIAN = 3
    SITE = 4
    CLUSTER = 5
    WORKLOAD = 6


class Phase(enum.IntEnum):
    """How far a rule bites."""

    OBSERVE = 1
    WARN = 2
    ENFORCE = 3


class Standing(enum.IntEnum):
    """What an authority's word weighs."""

    REQUIRED = 1
    RECIPIENT = 2


class WorkloadKind(enum.IntEnum):
    """What a registered workload is for."""

    TRAINING = 1
    INFERENCE = 2


class Assurance(enum.IntEnum):
    """What stands behind a figure (law 10)."""

    SOFTWARE = 1
    TPM = 2
    ATTESTED = 3
    EXTERNAL = 4


class CounterSource(enum.IntEnum):
    """Which counters a figure rests on, best first."""

    GPM_CYCLES = 1
    GPM_PERCENT = 2
    KERNEL_ACTIVE_CLOCK = 3
    PEAK_TIME = 4


class LaneState(enum.IntEnum):
    """State of a lane (DESIGN section 7); the gate's table says how they follow each other."""

    HALTED = 1
    RUNNING = 2
    WINDING_DOWN = 3
    FROZEN = 4
    EXEMPT = 5


class SingleUse(enum.IntEnum):
    """What stands behind the single use of a license (law 5)."""

    SOFTWARE = 1
    TPM = 2


class LicenseState(enum.IntEnum):
    """Where a license stands at its gate."""

    NONE = 1
    HELD = 2
    SEALED = 3
    OPENED = 4


class Severity(enum.IntEnum):
    """How much a finding matters."""

    INFO = 1
    WARNING = 2
    ALERT = 3


class ChargedFigure(enum.IntEnum):
    """Which of the three figures of an interval policy charges."""

    LOW = 1
    NOMINAL = 2
    HIGH = 3


class CapacityBasis(enum.IntEnum):
    """Which peak rate of a chip counts towards the capacity of its cluster."""

    DENSE_8BIT = 1
    DENSE_16BIT = 2


@quick
@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What an order, budget or phase applies to; ``id`` is empty for EVERYTHING alone."""

    kind: ScopeKind
    id: str = ""

    def __hash__(self) -> int:
        # Scopes are looked up for every answer, and an enum's hash is a call of its own.
        return hash(self.id)

    def __str__(self) -> str:
        name = self.kind.name.lower()
        return f"{name}:{self.id}" if self.id else name


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """FLOP of an interval or since enrolment, in teraFLOP; ``low <= nominal <= high``."""

    low_tflop: int = 0
    nominal_tflop: int = 0
    high_tflop: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            low_tflop=self.low_tflop + other.low_tflop,
            nominal_tflop=self.nominal_tflop + other.nominal_tflop,
            high_tflop=self.high_tflop + other.high_tflop,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something people should look at; revokes nothing by itself (law 10).

    Attributes:
        id: stable, dotted, lower case.
        subject: chip UUID or workload, empty for the host.
        detail: one sentence with the figures.
    """

    id: str
    severity: Severity
    subject: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """What signed: name, version, and SHA-256 over its installed files (32 bytes)."""

    name: str
    version: str
    digest: bytes
