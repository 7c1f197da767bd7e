"""Worlds in which officers replace an online key and revoke the former, by seed."""

from __future__ import annotations

from dataclasses import replace

from flopgate_sim.planted.worlds import AUTHORITY, plain
from flopgate_sim.world.plan import Fault, WorldPlan


def key_stolen(seed: int) -> WorldPlan:
    """A thief has the former key, and the courier of each host."""
    plan = plain(seed)
    thieves = tuple(
        Fault(at_ms=430_000, kind="revoked_answers", target=host.name, span_ms=900_000)
        for host in plan.hosts
    )
    return replace(plan, faults=(_replaced(0), *thieves))


def key_revoked_first(seed: int) -> WorldPlan:
    """For a while the governor has no key that counts."""
    return replace(plain(seed), faults=(_replaced(1),))


def _replaced(emergency: int) -> Fault:
    return Fault(
        at_ms=400_000, kind="key_replaced", target=AUTHORITY, span_ms=10_000, value=emergency
    )
