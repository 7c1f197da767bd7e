"""Small worlds of several declared clusters, in which planted bugs show, by seed."""

from __future__ import annotations

from dataclasses import replace

from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_proto.values.orders import Budget
from flopgate_sim.planted.worlds import CHIPS, POLICY, SHORT_MS, plain
from flopgate_sim.world.plan import HostPlan, LanePlan, WorldPlan

NAMES = ("alpha", "beta")
HOSTS_OF_EACH = 2
THRESHOLD_TFLOP_PER_S = 15_000
"""Four hosts with two H100 are 15.8e15 FLOP/s at 8 bit, two are 7.9e15."""
CUSTODIAN_TFLOP = 2_000_000
"""Less than what one host may ask for at once."""


def _hosts(**beta: str) -> tuple[HostPlan, ...]:
    template = plain(1).hosts[0]
    lane = LanePlan(workload="run", chips=tuple(range(CHIPS)))
    return tuple(
        replace(
            template,
            name=f"{name}-{number}",
            cluster=name,
            lanes=(lane,),
            drift_ppm=0,
            **(beta if name == "beta" else {}),  # type: ignore[arg-type]
        )
        for name in NAMES
        for number in range(HOSTS_OF_EACH)
    )


def _plan(seed: int, hosts: tuple[HostPlan, ...]) -> WorldPlan:
    budgets = tuple(
        Budget(scope=Scope(ScopeKind.CLUSTER, name), cap_tflop=10**11) for name in NAMES
    )
    policy = replace(POLICY, threshold_tflop_per_s=THRESHOLD_TFLOP_PER_S, budgets=budgets)
    return replace(plain(seed), hosts=hosts, policy=policy, duration_ms=SHORT_MS)


def in_parts(seed: int) -> WorldPlan:
    """A cluster above the threshold is declared in two parts below it."""
    return _plan(seed, _hosts(fabric="alpha"))


def separate(seed: int) -> WorldPlan:
    """Two clusters below the threshold that share nothing."""
    return _plan(seed, _hosts())


def claimed(seed: int) -> WorldPlan:
    """Hosts of another custodian tell that they hang on a neighbour's fabric."""
    return _plan(seed, _hosts(custodian="liar", claims="alpha"))


def all_exempt(seed: int) -> WorldPlan:
    """Two clusters below the threshold, on their custodian's budget, which is tight."""
    plan = separate(seed)
    budget = Budget(scope=Scope(ScopeKind.CUSTODIAN, "operator"), cap_tflop=CUSTODIAN_TFLOP)
    return replace(plan, policy=replace(plan.policy, budgets=(budget,)))
