"""What one world is asked for, and what came of it. Values that can be sent between processes.

Everything in an outcome is a number, a string, or a tuple or dict of those, so that
`dataclasses.asdict` gives what `json.dumps` takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

REAL, CHEAP = "real", "cheap"
SCHEMES = (REAL, CHEAP)
"""Signature schemes: P-256, or a stand-in for campaigns."""

CAPACITY, PERMITTED, CONSUMED, CAP = (
    "capacity running",
    "hosts with permission",
    "FLOP consumed",
    "cap",
)
"""Names of the curves that a report draws; any other stands in its tables only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One world.

    Attributes:
        scenario: name of a shipped one, or path of a file.
        seed: 0 to 2^63-1.
        fault_indices: only these of the faults that the seed draws, rising; ``None``: all.
        recording: whether curves are wanted. What happens is the same with and without.
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
    """Something that happened at a moment; ``kind`` is pause, resume, stop, fault or breach."""

    at_s: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """How long a pause took.

    Attributes:
        at_s: when officers ordered it.
        text: which one, in words.
        hosts: that computed under its scope when it was ordered.
        still: how many of them were seen to stand before it was lifted.
        first_s, median_s, last_s: from the order until the first, the median and the last of those
            had done its last work; ``None`` while there is none.
    """

    at_s: float
    text: str
    hosts: int
    still: int
    first_s: float | None = None
    median_s: float | None = None
    last_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What can be drawn of one world, which ended at ``end_s``."""

    end_s: float
    curves: tuple[Curve, ...] = ()
    marks: tuple[Mark, ...] = ()
    stops: tuple[Stop, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One world, from beginning to end or to its first breach.

    Attributes:
        trace_digest: SHA-256 over everything that happened, hexadecimal.
        steps: events.
        faults: how many it was to meet.
        counts: faults by kind, and reports, grants, refusals, commits, starts.
        timeline: the newest lines of what happened, oldest first.
    """

    scenario: str
    seed: int
    trace_digest: str
    steps: int
    host_hours: float
    cpu_s: float
    faults: int
    breach: Breach | None = None
    counts: dict[str, int] = field(default_factory=dict)
    recording: Recording | None = None
    timeline: tuple[str, ...] = ()


Runner = Callable[[Job], Outcome]
"""Runs one world. A function of a module, since it travels to processes by its name. What it raises
is told as the failure of that seed.
"""
