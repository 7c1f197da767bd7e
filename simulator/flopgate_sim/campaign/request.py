"""What one call of ``flopgate-sim run`` asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flopgate_sim.campaign.outcome import CHEAP, Job
from flopgate_sim.campaign.picks import PICKED_MAX
from flopgate_sim.campaign.ranges import Numbers
from flopgate_sim.campaign.shrink import Faults
from flopgate_sim.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for.

    Attributes:
        scenario: read already, so that a wrong file costs no process.
        named: its name or path, as it was given.
        faults: indices; ``None``: all.
        stop_after: breaches; ``None``: never.
        limit_s: for one world; ``None``: no limit.
        report: where to write the page; ``None``: none.
    """

    scenario: Scenario
    named: str
    seeds: Numbers
    faults: Faults | None = None
    signatures: str = CHEAP
    processes: int = 1
    stop_after: int | None = None
    limit_s: float | None = None
    shrink: bool = False
    timeline: bool = False
    report: Path | None = None

    def jobs(self) -> Iterator[Job]:
        """One a seed. Few are recorded at once, many are picked from afterwards."""
        for seed in self.seeds:
            yield Job(
                scenario=self.named,
                seed=seed,
                fault_indices=self.faults,
                recording=self.report is not None and self.seeds.count <= PICKED_MAX,
                signatures=self.signatures,
            )
