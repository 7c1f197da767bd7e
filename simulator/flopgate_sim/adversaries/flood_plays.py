"""Attacks on a governor's store: reports without measure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from flopgate_governor.core.allowance import Allowance
from flopgate_proto.values import LaneState
from flopgate_sim.adversaries.stage import Played, at_s, broken, staged, states
from flopgate_sim.world.nature.engine import US_PER_S

ALLOWANCE: Final = Allowance(interval_bytes=48 * 1024, burst_bytes=192 * 1024)
"""As many times what these hosts send in order as the default is of what a host sends."""
BENT_S, BENT_INTERVAL_MS = 300, 1_000


def reports_without_measure() -> Played:
    """See the table."""
    with staged() as world:
        governor, bent = world.governors[0], world.hosts[0]
        stood: set[str] = set()

        def bend() -> None:
            if governor.state is not None:
                governor.state.volumes.allowance = ALLOWANCE
            bent.wiring = replace(bent.wiring, report_interval_ms=BENT_INTERVAL_MS)
            bent.restart_gate_soon("its operator has it report each second")

        def look() -> None:
            stood.update(one.name for one in world.hosts if LaneState.RUNNING not in states(one))

        at_s(world, BENT_S, bend)
        for moment_s in range(2 * BENT_S, world.plan.duration_ms // 1000, 5):
            at_s(world, moment_s, look)
        world.run()
        volumes = None if governor.state is None else governor.state.volumes
        held = {} if volumes is None else volumes.held_ms
        alone = set(held) == {bent.host_id} and stood == {bent.name}
        return Played(
            broken=broken(world),
            tried=sum(made_us > BENT_S * US_PER_S for made_us in bent.truth.requests_us.values()),
            seen=f"held back for {held[bent.host_id] // 1000} s" if alone else "",
        )
