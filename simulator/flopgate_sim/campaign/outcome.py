"""What one world is asked for, and what came of it. Values that can be sent between processes."""

from __future__ import annotations

from dataclasses import dataclass, field

REAL, CHEAP = "real", "cheap"
SCHEMES = (REAL, CHEAP)
"""Signature schemes: P-256, or a stand-in for campaigns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One world.

    Attributes:
        scenario: name of a shipped one, or path of a file.
        fault_indices: only these of the faults that the seed draws; ``None``: all.
        recording: whether curves are wanted.
        signatures: one of `SCHEMES`.
    """

    scenario: str
    seed: int
    fault_indices: tuple[int, ...] | None = None
    recording: bool = False
    signatures: str = CHEAP


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A law was broken.

    Attributes:
        at_ms: world time.
        step: event of the world after which it was found.
    """

    law: int
    law_name: str
    detail: str
    at_ms: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A figure over time; it keeps each value until the next point."""

    name: str
    unit: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at a moment; ``kind`` is pause, resume, fault, restart or breach."""

    at_s: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """How long a pause took: seconds from the order to the first, median and last host still."""

    at_s: float
    text: str
    hosts: int
    first_s: float
    median_s: float
    last_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What can be drawn of one world."""

    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...]
    stops: tuple[Stop, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One world, from beginning to end or to its first breach.

    Attributes:
        trace_digest: SHA-256 over everything that happened, hexadecimal.
        steps: events.
        counts: faults by kind, and reports, grants, refusals, commits, starts.
        faults: how many the seed drew.
        timeline: the newest lines of what happened, oldest first.
        error: why the world could not be run to its end; empty if it was.
    """

    scenario: str
    seed: int
    trace_digest: str = ""
    steps: int = 0
    host_hours: float = 0.0
    cpu_s: float = 0.0
    faults: int = 0
    breach: Breach | None = None
    counts: dict[str, int] = field(default_factory=dict)
    recording: Recording | None = None
    timeline: tuple[str, ...] = ()
    error: str = ""
