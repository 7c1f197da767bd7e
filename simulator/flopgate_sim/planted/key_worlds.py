"""Worlds in which officers replace an online key and revoke the former, by seed."""

from __future__ import annotations

from dataclasses import replace

from flopgate_sim.planted.worlds import AUTHORITY, SHORT_MS, plain
from flopgate_sim.world.plan import Fault, WorldPlan


def key_stolen(seed: int) -> WorldPlan:
    """A thief has the former key, and the courier of each host."""
    plan = plain(seed)
    thieves = tuple(
        Fault(at_ms=430_000, kind="revoked_answers", target=host.name, span_ms=900_000)
        for host in plan.hosts
    )
    return replace(plan, faults=(_replaced(0), *thieves))


def key_stolen_early(seed: int) -> WorldPlan:
    """His couriers are there before the revocation: from then on no other answer comes."""
    plan = key_stolen(seed)
    replaced, *thieves = plan.faults
    return replace(plan, faults=(replaced, *(replace(one, at_ms=395_000) for one in thieves)))


def exempt_key_stolen(seed: int) -> WorldPlan:
    """The same where all are exempt, with permits of a day."""
    plan = key_stolen_early(seed)
    policy = replace(plan.policy, threshold_tflop_per_s=10**6)
    return replace(plan, policy=policy, duration_ms=SHORT_MS + 2 * policy.lifetime_ms)


def numbered_ahead(seed: int) -> WorldPlan:
    """Before anybody knew of him the thief made two hosts take numbers far ahead."""
    plan = plain(seed)
    thieves = tuple(
        Fault(at_ms=300_000, kind="numbers_made_up", target=host.name, span_ms=90_000)
        for host in plan.hosts[1:]
    )
    died = Fault(at_ms=800_000, kind="gate_crash", target=plan.hosts[1].name)
    return replace(plan, faults=(_replaced(0), *thieves, died))


def key_revoked_first(seed: int) -> WorldPlan:
    """For a while the governor has no key that counts."""
    return replace(plain(seed), faults=(_replaced(1),))


def _replaced(emergency: int) -> Fault:
    return Fault(
        at_ms=400_000, kind="key_replaced", target=AUTHORITY, span_ms=10_000, value=emergency
    )
