"""Whose turn it is in a campaign over several scenarios: that of the one that had the least time.

Scenarios differ a thousandfold in what a seed costs. In turns of one seed each the largest would
take all the time; in turns of equal time the small ones get through many seeds. Where seeds are
named there are no turns: all of them run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from flopgate_sim.campaign.outcome import CHEAP, REAL, Job
from flopgate_sim.campaign.ranges import Numbers

MIXED: Final = "mixed"
REAL_EVERY: Final = 10
"""Of mixed signatures every tenth seed has real ones."""
FIRST_SPEED: Final = 10.0
"""Host-hours a second that are expected of a process before any was measured."""


@dataclass(slots=True, kw_only=True)
class _Turn:
    host_hours: float
    seed: int
    spent_s: float = 0.0
    ran: int = 0
    running: int = 0


class Turns:
    """Hands out jobs, and hears what each took.

    A scenario that is not expected to be done within the time that is left gets no turn.
    """

    def __init__(
        self, host_hours: Mapping[str, float], first_seeds: Mapping[str, int], signatures: str
    ) -> None:
        """``host_hours`` of one seed, by scenario; seeds grow by one from their first on."""
        self._turns = {
            name: _Turn(host_hours=hours, seed=first_seeds.get(name, 1))
            for name, hours in host_hours.items()
        }
        self._signatures = signatures
        self._hours_done = 0.0
        self._spent_s = 0.0

    def _expected_s(self, turn: _Turn) -> float:
        if turn.ran:
            return turn.spent_s / turn.ran
        speed = self._hours_done / self._spent_s if self._hours_done else FIRST_SPEED
        return turn.host_hours / speed

    def _had_s(self, turn: _Turn) -> float:
        return turn.spent_s + turn.running * self._expected_s(turn)

    def next(self, left_s: float) -> Job | None:
        """The next job; ``None`` when none would be done in time."""
        fitting = {
            name: turn for name, turn in self._turns.items() if self._expected_s(turn) <= left_s
        }
        if left_s <= 0 or not fitting:
            return None
        # Among those that had nothing yet, the cheapest first: its speed tells what others take.
        name = min(
            fitting, key=lambda one: (self._had_s(fitting[one]), fitting[one].host_hours, one)
        )
        turn = fitting[name]
        seed, turn.seed = turn.seed, turn.seed + 1
        turn.running += 1
        return _job(name, seed, self._signatures)

    def done(self, job: Job, took_s: float) -> None:
        """A job is over, whatever came of it."""
        turn = self._turns[job.scenario]
        turn.running -= 1
        turn.ran += 1
        turn.spent_s += took_s
        self._spent_s += took_s
        self._hours_done += turn.host_hours


def listed(host_hours: Mapping[str, float], seeds: Numbers, signatures: str) -> Iterator[Job]:
    """These seeds of each scenario; the largest first, lest one runs alone at the end."""
    for name in sorted(host_hours, key=lambda one: -host_hours[one]):
        for seed in seeds:
            yield _job(name, seed, signatures)


def _job(scenario: str, seed: int, signatures: str) -> Job:
    real = signatures == REAL or (signatures == MIXED and seed % REAL_EVERY == 0)
    return Job(scenario=scenario, seed=seed, signatures=REAL if real else CHEAP)
