"""What is asked of a simulated cluster, and what comes back: plain values that travel by pickle.

Everything in an outcome is a number, a string, or a tuple or dict of those, so that
`dataclasses.asdict` gives what `json.dumps` takes. Moments are world time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Signatures = Literal["real", "cheap"]
SIGNATURES: Final[tuple[Signatures, ...]] = get_args(Signatures)

MarkKind = Literal["pause", "resume", "fault", "stop", "breach", "restart"]
MARK_KINDS: Final[tuple[MarkKind, ...]] = get_args(MarkKind)

CAPACITY: Final = "capacity running"
PERMITS: Final = "permits outstanding"
CONSUMED: Final = "FLOP consumed"
CAP: Final = "cap"
"""Names of the curves that a report draws. Any other is listed, not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One world to run.

    Attributes:
        scenario: name of a shipped scenario, or the path of a file.
        seed: 0 to 2^63-1.
        fault_indices: which faults of the plan happen, rising; ``None``: all of them.
        recording: whether the outcome carries curves and marks. It must not change the trace.
        signatures: ``cheap`` stands in for P-256 where only speed matters.
    """

    scenario: str
    seed: int
    fault_indices: tuple[int, ...] | None = None
    recording: bool = False
    signatures: Signatures = "cheap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A law was broken.

    Attributes:
        law: number of DESIGN section 3.
        detail: what is wrong, with the figures.
        step: events that had happened, this one included.
        timeline: the last events, oldest first, one readable line each.
    """

    law: int
    law_name: str
    detail: str
    at_ms: int
    step: int
    timeline: tuple[str, ...]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A quantity over time. It keeps each value until the next point.

    Attributes:
        name: one of those above, or any other.
        unit: as people read it, ``FLOP/s``.
        points: (world time in s, value), times never falling.
    """

    name: str
    unit: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at a moment, in words."""

    at_s: float
    kind: MarkKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseTimes:
    """How long a pause took to bite.

    Attributes:
        text: the pause in words, as ``pause of workload:serving``.
        ordered_at_s: officers handed it to their governor.
        hosts: under its scope and computing when it was ordered.
        still: how many of these came to stand before it was lifted.
        first_still_at_s, median_still_at_s, last_still_at_s: when these stood by the hardware's own
            account; ``None`` while none did. The last is that of the ``still`` ones.
    """

    text: str
    ordered_at_s: float
    hosts: int
    still: int
    first_still_at_s: float | None
    median_still_at_s: float | None
    last_still_at_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a report draws.

    Attributes:
        end_at_s: when the world ended; curves keep their last value until then.
    """

    end_at_s: float
    curves: tuple[Curve, ...] = ()
    marks: tuple[Mark, ...] = ()
    pauses: tuple[PauseTimes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one world.

    Attributes:
        trace_digest: SHA-256 over all that happened, in hex: the same for the same job.
        host_hours: hosts times world hours, up to the breach if there was one.
        wall_s, cpu_s: what it took this machine.
        planned_faults: faults of the whole plan, also of those left out by ``fault_indices``;
            indices are below it.
        faults: how many faults happened, by kind.
        counts: anything else worth adding up over seeds: grants, refusals, reports, commits,
            restarts.
        pending: what could not be checked yet, as ``WHAT: FEATURE``, by the feature it waits for.
    """

    scenario: str
    seed: int
    trace_digest: str
    events: int
    host_hours: float
    wall_s: float
    cpu_s: float
    breach: Breach | None
    planned_faults: int
    faults: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    pending: tuple[str, ...] = ()
    recording: Recording | None = None


Runner = Callable[[Job], Outcome]
"""Runs one world. Travels to worker processes by pickle: a function of a module.

It raises errors of our tree for a scenario that cannot be used; whatever else it raises is reported
as the failure of that seed.
"""
