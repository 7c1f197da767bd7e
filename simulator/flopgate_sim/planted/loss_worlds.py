"""Worlds in which a governor's store is lost, or somebody says so, by seed."""

from __future__ import annotations

from dataclasses import replace

from flopgate_sim.planted.worlds import AUTHORITY, plain
from flopgate_sim.world.plan import Fault, WorldPlan


def lost_backups(seed: int) -> WorldPlan:
    """The governor's store is replaced by a backup."""
    restore = Fault(at_ms=500_000, kind="governor_restore", target=AUTHORITY, span_ms=400_000)
    return replace(plain(seed), faults=(restore,))


def lied_to(seed: int) -> WorldPlan:
    """A host lies about answers; later the store is lost indeed, while couriers drop or change."""
    plan = plain(seed)
    liar, dropper, forger = (host.name for host in plan.hosts)
    faults = (
        Fault(at_ms=300_000, kind="host_lies", target=liar, span_ms=400_000),
        Fault(at_ms=800_000, kind="governor_restore", target=AUTHORITY, span_ms=300_000),
        Fault(at_ms=1_050_000, kind="roots_dropped", target=dropper, span_ms=600_000),
        Fault(at_ms=1_050_000, kind="courier_forges", target=forger, span_ms=600_000),
    )
    return replace(plan, faults=faults)
