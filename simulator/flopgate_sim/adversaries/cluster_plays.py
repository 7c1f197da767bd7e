"""Attacks on what a cluster is: one that is declared in parts, one that is claimed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

from flopgate_proto.values import LaneState
from flopgate_sim.adversaries.stage import SEED, Played, at_s, broken, staged, states
from flopgate_sim.planted.cluster_worlds import claimed, in_parts
from flopgate_sim.world.nature.engine import US_PER_S
from flopgate_sim.world.plan import WorldPlan
from flopgate_sim.world.world import World

LOOK_S: Final = 5
RENEWAL_S: Final = 130
"""A renewal and what hangs on it come within two minutes of everything."""


def _staged(plan: WorldPlan) -> AbstractContextManager[World]:
    return staged(hosts=plan.hosts, policy=plan.policy, duration_ms=plan.duration_ms)


def _every_look(world: World) -> list[tuple[float, dict[str, set[LaneState]]]]:
    """States of all hosts from time to time, filled while the world runs."""
    seen: list[tuple[float, dict[str, set[LaneState]]]] = []

    def look() -> None:
        now = {host.name: states(host) for host in world.hosts}
        seen.append((world.engine.now_us / US_PER_S, now))

    for moment_s in range(LOOK_S, world.plan.duration_ms // 1000, LOOK_S):
        at_s(world, moment_s, look)
    return seen


def cluster_split() -> Played:
    """See the table."""
    with _staged(in_parts(SEED)) as world:
        seen = _every_look(world)
        world.run()
        exempt = [at for at, now in seen if LaneState.EXEMPT in set().union(*now.values())]
        covered = [
            at for at, now in seen if all(one == {LaneState.RUNNING} for one in now.values())
        ]
        after_s = covered[0] - exempt[0] if exempt and covered else 0.0
        stays = bool(covered) and exempt[-1] < covered[0] and after_s <= RENEWAL_S
        return Played(
            broken=broken(world),
            tried=len(exempt),
            seen=f"all {len(world.hosts)} hosts hold ordinary permits" if stays else "",
            seen_after_s=after_s,
        )


def fabric_claimed() -> Played:
    """See the table."""
    with _staged(claimed(SEED)) as world:
        seen = _every_look(world)
        world.run()
        state = world.governors[0].state
        waiting = [] if state is None else state.clusters.waiting()
        stands = all(LaneState.RUNNING not in one for _, now in seen for one in now.values())
        exempt = all(one == {LaneState.EXEMPT} for one in seen[-1][1].values())
        return Played(
            broken=broken(world),
            tried=len(waiting),
            seen=f"waits for officers: {waiting[0].why}" if waiting and stands and exempt else "",
        )
