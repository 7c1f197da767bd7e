"""What many outcomes add up to. Its size does not grow with their number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from flopgate_sim.campaign.outcome import Breach, Job
from flopgate_sim.campaign.worker import Done, Failure, Result
from flopgate_sim.scenario.kinds import KINDS

BREACHES_KEPT_MAX: Final = 100
FAILURES_KEPT_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Breached:
    """A job that broke a law.

    Attributes:
        timeline: what happened last, oldest first.
        faults: how many the job was to meet.
    """

    job: Job
    breach: Breach
    timeline: tuple[str, ...]
    faults: int


def breached(done: Done) -> Breached | None:
    """What a job broke, if it did."""
    outcome = done.outcome
    if outcome.breach is None:
        return None
    return Breached(
        job=done.job, breach=outcome.breach, timeline=outcome.timeline, faults=outcome.faults
    )


@dataclass(slots=True)
class Sums:
    """Of all outcomes, or of those of one scenario."""

    seeds: int = 0
    breaches: int = 0
    failures: int = 0
    cut: int = 0
    events: int = 0
    host_hours: float = 0.0
    cpu_s: float = 0.0

    @property
    def host_hours_per_cpu_s(self) -> float | None:
        """The speed of one core; ``None`` before anything ran."""
        return self.host_hours / self.cpu_s if self.cpu_s > 0 else None


@dataclass(slots=True)
class Totals:
    """Outcomes and failures, added up.

    Attributes:
        faults: that happened, by kind.
        counts: whatever else outcomes count.
        breached, failed: the first of them, up to `BREACHES_KEPT_MAX` and `FAILURES_KEPT_MAX`;
            ``all`` has how many there were.
    """

    all: Sums = field(default_factory=Sums)
    scenarios: dict[str, Sums] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    breached: list[Breached] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """No law was broken, and every world that was begun came to its end."""
        return not self.all.breaches and not self.all.failures

    def add(self, result: Result) -> None:
        """Count one result."""
        for sums in (self.all, self.scenarios.setdefault(result.job.scenario, Sums())):
            _count(sums, result)
        if isinstance(result, Failure):
            if not result.cut and len(self.failed) < FAILURES_KEPT_MAX:
                self.failed.append(result)
            return
        for name, number in result.outcome.counts.items():
            (self.faults if name in KINDS else self.counts)[name] += number
        broke = breached(result)
        if broke is not None and len(self.breached) < BREACHES_KEPT_MAX:
            self.breached.append(broke)


def _count(sums: Sums, result: Result) -> None:
    if isinstance(result, Failure):
        sums.failures += not result.cut
        sums.cut += result.cut
        return
    outcome = result.outcome
    sums.seeds += 1
    sums.breaches += outcome.breach is not None
    sums.events += outcome.steps
    sums.host_hours += outcome.host_hours
    sums.cpu_s += outcome.cpu_s
