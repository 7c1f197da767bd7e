"""Worlds in which officers, or some who pose as a quorum, order this and that."""

from __future__ import annotations

from dataclasses import replace

from flopgate_proto.values.common import Phase, Scope, ScopeKind
from flopgate_proto.values.orders import Budget
from flopgate_sim.planted.worlds import AUTHORITY, OTHER_AUTHORITY, POLICY, plain
from flopgate_sim.world.plan import Act, Fault, WorldPlan

CLUSTER = "cluster:alpha"
TIGHT_TFLOP, WIDE_TFLOP = 4_000_000, 10**11
DELAY_MS = 3_600_000
FALLBACK_MS = 900_000


def _acted(seed: int, *acts: Act, **changes: object) -> WorldPlan:
    return replace(plain(seed), acts=acts, **changes)  # type: ignore[arg-type]


def one_officer_twice(seed: int) -> WorldPlan:
    """A pause, and a resume that one officer signed twice."""
    return _acted(
        seed,
        Act(at_ms=600_000, act="pause", scope=CLUSTER),
        Act(at_ms=900_000, act="rogue-resume"),
    )


def other_bytes(seed: int) -> WorldPlan:
    """A pause, and a resume under whose bytes only one of two officers put his name."""
    return _acted(
        seed,
        Act(at_ms=600_000, act="pause", scope=CLUSTER),
        Act(at_ms=900_000, act="mixed-resume"),
    )


def rehearsed_resume(seed: int) -> WorldPlan:
    """A pause, and a resume that the quorum signed for a rehearsal of the same name."""
    return _acted(
        seed,
        Act(at_ms=600_000, act="pause", scope=CLUSTER),
        Act(at_ms=900_000, act="rehearsed-resume"),
    )


def _tight(seed: int, *acts: Act, delay_ms: int = 0) -> WorldPlan:
    budget = Budget(scope=Scope(ScopeKind.CLUSTER, "alpha"), cap_tflop=TIGHT_TFLOP)
    policy = replace(POLICY, budgets=(budget,), loosening_delay_ms=delay_ms)
    return _acted(seed, *acts, policy=policy)


def cap_by_one(seed: int) -> WorldPlan:
    """One officer, who signs twice, raises a tight cap."""
    return _tight(seed, Act(at_ms=300_000, act="rogue-cap", scope=CLUSTER, cap_tflop=WIDE_TFLOP))


def rehearsed_cap(seed: int) -> WorldPlan:
    """A tight cap, and a wide one that the quorum signed for a rehearsal of the same name."""
    return _tight(
        seed, Act(at_ms=300_000, act="rehearsed-cap", scope=CLUSTER, cap_tflop=WIDE_TFLOP)
    )


def cap_that_waits(seed: int) -> WorldPlan:
    """A quorum raises a tight cap, and the world ends before the delay does."""
    act = Act(at_ms=300_000, act="policy_budget", scope=CLUSTER, cap_tflop=WIDE_TFLOP)
    return _tight(seed, act, delay_ms=DELAY_MS)


def veto_that_a_backup_lacks(seed: int) -> WorldPlan:
    """A quorum raises a tight cap, one officer vetoes it, and a backup from before takes its place.

    Officers bring what their files hold; that veto is in none of them.
    """
    raises = Act(at_ms=300_000, act="policy_budget", scope=CLUSTER, cap_tflop=WIDE_TFLOP)
    vetoes = Act(at_ms=500_000, act="veto")
    restore = Fault(at_ms=400_000, kind="governor_restore", target=AUTHORITY, span_ms=300_000)
    return replace(_tight(seed, raises, vetoes, delay_ms=900_000), faults=(restore,))


def resume_that_waits(seed: int) -> WorldPlan:
    """A quorum lifts a pause, and the world ends before the delay does."""
    return _acted(
        seed,
        Act(at_ms=600_000, act="pause", scope=CLUSTER),
        Act(at_ms=900_000, act="resume"),
        policy=replace(POLICY, loosening_delay_ms=DELAY_MS),
    )


def joined_while_a_policy_waits(seed: int) -> WorldPlan:
    """A host joins by a courier that brings it only a policy that still waits; then a pause."""
    plan = _acted(
        seed,
        Act(at_ms=300_000, act="policy_phase", scope="everything", phase=Phase.OBSERVE),
        Act(at_ms=900_000, act="pause", scope=CLUSTER),
        policy=replace(POLICY, loosening_delay_ms=DELAY_MS),
    )
    *others, late = plan.hosts
    bent = Fault(at_ms=500_000, kind="courier_loosens", target=late.name, span_ms=600_000)
    hosts = (*others, replace(late, joins_ms=500_000))
    return replace(plan, hosts=hosts, faults=(bent,))


def pauses_that_race(seed: int) -> WorldPlan:
    """Pauses come while permits are renewed, every ten seconds."""
    acts = [
        act
        for number in range(20)
        for act in (
            Act(at_ms=300_000 + 60_000 * number, act="pause", scope=CLUSTER),
            Act(at_ms=330_000 + 60_000 * number, act="resume"),
        )
    ]
    return _acted(seed, *acts, policy=replace(POLICY, renew_after_ms=10_000))


def paused_and_elsewhere(seed: int) -> WorldPlan:
    """A pause, and another one by the same officer that concerns nobody."""
    return _acted(
        seed,
        Act(at_ms=600_000, act="pause", scope=CLUSTER),
        Act(at_ms=700_000, act="pause", scope="cluster:elsewhere"),
    )


def pauses_in_one_instant(seed: int) -> WorldPlan:
    """Two pauses of different scopes in one instant; one is lifted, and no report gets through."""
    plan = _acted(
        seed,
        Act(at_ms=600_000, act="pause", scope=CLUSTER),
        Act(at_ms=600_000, act="pause", scope="custodian:operator"),
        Act(at_ms=700_000, act="resume-first"),
    )
    cut = tuple(
        Fault(at_ms=599_000, kind="one_way_up", target=host.name, span_ms=400_000)
        for host in plan.hosts
    )
    return replace(plan, faults=cut)


def _without_the_other(seed: int, *acts: Act, down_ms: int = 1_500_000) -> WorldPlan:
    """The other authority's governor is down from 600 s on."""
    gone = Fault(at_ms=600_000, kind="governor_crash", target=OTHER_AUTHORITY, span_ms=down_ms)
    plan = _acted(seed, *acts, authorities=(AUTHORITY, OTHER_AUTHORITY))
    return replace(plan, faults=(gone,))


def fell_silent(seed: int) -> WorldPlan:
    """One signed a fallback of 15 minutes, is gone for 25, and pauses once it is back."""
    return _without_the_other(
        seed,
        Act(at_ms=200_000, act="fallback", authority=1, fallback_ms=FALLBACK_MS),
        Act(at_ms=300_000, act="demote"),
        Act(at_ms=2_200_000, act="pause", scope=CLUSTER, authority=1),
    )


def silent_without_fallback(seed: int) -> WorldPlan:
    """One is gone for good; the fallback is the other's, of itself."""
    return _without_the_other(
        seed,
        Act(at_ms=200_000, act="demote", fallback_ms=FALLBACK_MS),
        down_ms=10_000_000,
    )


def demoted(seed: int) -> WorldPlan:
    """One authority says that the other only receives; the other pauses."""
    return _acted(
        seed,
        Act(at_ms=300_000, act="demote"),
        Act(at_ms=600_000, act="pause", scope=CLUSTER, authority=1),
        authorities=(AUTHORITY, OTHER_AUTHORITY),
    )
