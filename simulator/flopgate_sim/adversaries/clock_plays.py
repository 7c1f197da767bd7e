"""Attacks on what a governor takes for the time."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_proto.values.orders import Budget
from flopgate_sim.adversaries.stage import Played, at_s, broken, staged
from flopgate_sim.planted.worlds import AUTHORITY, POLICY
from flopgate_sim.world.plan import Act, Fault

RAISED_S: Final = 300
DELAY_S: Final = 1_200
TIGHT_TFLOP: Final = 4_000_000
"""Hosts come to its end within the half hour."""


def governor_clock_set() -> Played:
    """See the table."""
    cluster = Scope(ScopeKind.CLUSTER, "alpha")
    policy = replace(
        POLICY,
        budgets=(Budget(scope=cluster, cap_tflop=TIGHT_TFLOP),),
        loosening_delay_ms=DELAY_S * 1_000,
    )
    raises = Act(
        at_ms=RAISED_S * 1_000, act="policy_budget", scope=str(cluster), cap_tflop=10 * TIGHT_TFLOP
    )
    leaps_ms = (400_000, 700_000, 1_000_000)
    faults = [
        Fault(at_ms=at_ms + wait_ms, kind=kind, target=AUTHORITY, span_ms=span_ms, value=value)
        for at_ms in leaps_ms
        for wait_ms, kind, span_ms, value in (
            (0, "governor_clock_leap", 240_000, 2 * DELAY_S),
            (60_000, "governor_crash", 1_000, 0),
        )
    ]
    with staged(policy=policy, acts=(raises,), faults=tuple(faults)) as world:
        governor = world.governors[0]
        waited: list[bool] = []

        def look() -> None:
            state = governor.state
            waited.append(state is not None and bool(state.book.orders.waiting))

        for leap_ms in leaps_ms:
            at_s(world, leap_ms / 1_000 + 200, look)
        at_s(world, RAISED_S + DELAY_S + 300, look)
        world.run()
        seen = "what waits comes into force at the end of its delay, not before"
        return Played(
            broken=broken(world),
            tried=len(leaps_ms),
            seen=seen if waited == [True, True, True, False] else "",
        )
