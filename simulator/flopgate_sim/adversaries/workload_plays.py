"""Attacks on what a workload is: many names for one run, training that is called inference."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

from flopgate_sim.adversaries.stage import SEED, Played, at_s, broken, reasons, staged
from flopgate_sim.planted import ruling_worlds
from flopgate_sim.planted.ruling_worlds import REGISTER_TFLOP
from flopgate_sim.world.nature.engine import US_PER_S
from flopgate_sim.world.plan import WorldPlan
from flopgate_sim.world.world import World

LOOK_S: Final = 5


def _staged(plan: WorldPlan) -> AbstractContextManager[World]:
    return staged(
        hosts=plan.hosts, policy=plan.policy, acts=plan.acts, duration_ms=plan.duration_ms
    )


def _first_seen(world: World, reason: str) -> dict[str, float]:
    """By host: when it first stood for this reason; filled while the world runs."""
    seen: dict[str, float] = {}

    def look() -> None:
        for host in world.hosts:
            if reason in reasons(host):
                seen.setdefault(host.name, world.engine.now_us / US_PER_S)

    for moment_s in range(LOOK_S, world.plan.duration_ms // 1000, LOOK_S):
        at_s(world, moment_s, look)
    return seen


def many_small_runs() -> Played:
    """See the table."""
    with _staged(ruling_worlds.many_names(SEED)) as world:
        stood = _first_seen(world, "workload.unregistered")
        world.run()
        spent = world.governors[0].truth.settled_tflop.get("custodian:operator", 0)
        held = len(stood) == len(world.hosts) and 0 < spent <= REGISTER_TFLOP
        return Played(
            broken=broken(world),
            tried=len(world.hosts),
            seen=f"all names together spent {spent} of {REGISTER_TFLOP} TFLOP" if held else "",
        )


def training_relabelled() -> Played:
    """See the table."""
    with _staged(ruling_worlds.relabelled(SEED)) as world:
        stood = _first_seen(world, "workload.tier")
        world.run()
        return Played(
            broken=broken(world),
            tried=sum(
                host.truth.ceiling_tflop.get((world.governors[0].name, "served"), 0) > 0
                for host in world.hosts
            ),
            seen="its whole cost is in what descends from it" if "host-2" in stood else "",
            seen_after_s=stood.get("host-2", 0.0),
        )
