"""Small worlds in which bugs of governor time show, by seed."""

from __future__ import annotations

from dataclasses import replace

from flopgate_sim.planted.worlds import AUTHORITY, plain
from flopgate_sim.world.plan import Fault, WorldPlan

LEAP_S = 7_200


def leaping(seed: int) -> WorldPlan:
    """The governor's wall clock leaps ahead by hours, for minutes."""
    leaps = tuple(
        Fault(
            at_ms=400_000 + 600_000 * number,
            kind="governor_clock_leap",
            target=AUTHORITY,
            span_ms=400_000,
            value=LEAP_S * (number + 1),
        )
        for number in range(3)
    )
    return replace(plain(seed), faults=leaps)


def falling_back(seed: int) -> WorldPlan:
    """The same clock is set back for minutes."""
    plan = leaping(seed)
    return replace(plan, faults=tuple(replace(one, value=-one.value) for one in plan.faults))


def leaping_and_crashing(seed: int) -> WorldPlan:
    """The same, and the governor starts anew meanwhile."""
    plan = leaping(seed)
    crashes = tuple(
        Fault(at_ms=leap.at_ms + 60_000, kind="governor_crash", target=AUTHORITY, span_ms=1_000)
        for leap in plan.faults
    )
    return replace(plan, faults=(*plan.faults, *crashes))
