"""Worlds in which officers rule on chains, books, clusters and workloads, by seed."""

from __future__ import annotations

from dataclasses import replace

from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_proto.values.orders import Budget, Tier
from flopgate_sim.planted import cluster_worlds
from flopgate_sim.planted.worlds import (
    AUTHORITY,
    CHIPS,
    OTHER_AUTHORITY,
    POLICY,
    SHORT_MS,
    plain,
)
from flopgate_sim.scenario.profiles import PROFILES
from flopgate_sim.world.plan import Act, Errand, Fault, HostPlan, LanePlan, WorldPlan

TIGHT_TFLOP = 6_000_000
DELAY_MS = 600_000
RULED_MS = 400_000
A100_THRESHOLD_TFLOP_PER_S = 4_000
"""Four hosts with two A100 are 5.0e15 FLOP/s at 8 bit, two are 2.5e15."""
REGISTER_TFLOP, PROHIBIT_TFLOP = 3_000_000, 12_000_000
H100_TFLOP_PER_S = 1_979 * CHIPS


def _tight(cap_tflop: int) -> tuple[Budget, ...]:
    return (Budget(scope=Scope(ScopeKind.CLUSTER, "alpha"), cap_tflop=cap_tflop),)


# ---------------------------------------------------------------------- chains and books


def closed_while_it_runs(seed: int) -> WorldPlan:
    """A host that is cut off is closed while its permit lives; then it is back, and asks."""
    plan = plain(seed)
    return replace(
        plan,
        policy=replace(POLICY, budgets=_tight(TIGHT_TFLOP)),
        faults=(Fault(at_ms=300_000, kind="partition", target="host-0", span_ms=600_000),),
        acts=(Act(at_ms=330_000, act="close", host="host-0"),),
    )


def closed_when_silent(seed: int) -> WorldPlan:
    """A host has been silent for a while when its chain is closed."""
    return replace(
        plain(seed),
        faults=(Fault(at_ms=300_000, kind="power_loss", target="host-0", span_ms=1_200_000),),
        acts=(Act(at_ms=1_300_000, act="close", host="host-0"),),
    )


def _relieved(seed: int, *acts: str) -> WorldPlan:
    hung = Fault(at_ms=500_000, kind="sampler_hang", target="host-0", span_ms=200_000)
    return replace(
        plain(seed),
        faults=(hung,),
        acts=tuple(
            Act(at_ms=900_000 + 60_000 * number, act=act, host="host-0", scope="workload:run")
            for number, act in enumerate(acts)
        ),
    )


def relieved(seed: int) -> WorldPlan:
    """Counters were gone for minutes, and officers take half of what that cost off the books."""
    return _relieved(seed, "relieve")


def relieved_of_too_much(seed: int) -> WorldPlan:
    """Then they sign for more than the lane ever had without a grant."""
    return _relieved(seed, "relieve", "relieve-more")


def relieved_of_what_was_before(seed: int) -> WorldPlan:
    """A host joins an authority late, whose officers relieve it of all that it ever counted."""
    plan = plain(seed)
    hung = tuple(
        Fault(at_ms=100_000, kind="sampler_hang", target=host.name, span_ms=100_000)
        for host in plan.hosts
    )
    join = Errand(at_ms=300_000, host="host-0", errand="join", authority=1)
    act = Act(at_ms=850_000, act="relieve-all", host="host-0", scope="workload:run", authority=1)
    return replace(
        plan,
        authorities=(AUTHORITY, OTHER_AUTHORITY),
        faults=hung,
        errands=(join,),
        acts=(act,),
        duration_ms=SHORT_MS,
    )


def enrolled_elsewhere(seed: int) -> WorldPlan:
    """A host is imaged anew, and its operator has a token for another site, too."""
    plan = cluster_worlds.separate(seed)
    hosts = tuple(
        replace(one, site="site-2") if one.cluster == "beta" else one for one in plan.hosts
    )
    errand = Errand(at_ms=RULED_MS, host="alpha-1", errand="reimage", places_of="beta-0")
    policy = replace(plan.policy, closures_max=2)
    return replace(plan, hosts=hosts, errands=(errand,), policy=policy, spare_places=1)


def enrolled_anew(seed: int) -> WorldPlan:
    """The same by a token for where it stands: its old chain is closed by that."""
    plan = enrolled_elsewhere(seed)
    return replace(plan, errands=tuple(replace(one, places_of="alpha-0") for one in plan.errands))


def adoption_that_waits(seed: int) -> WorldPlan:
    """A ledger is put back, the chain is closed on that, and an adoption has to wait."""
    return replace(
        plain(seed),
        policy=replace(POLICY, loosening_delay_ms=DELAY_MS),
        faults=(Fault(at_ms=600_000, kind="ledger_restore", target="host-0", span_ms=300_000),),
        acts=(Act(at_ms=1_200_000, act="adopt", host="host-0"),),
    )


# ---------------------------------------------------------------------- clusters


def _ruled(plan: WorldPlan, act: str, *names: str) -> WorldPlan:
    return replace(plan, acts=(Act(at_ms=RULED_MS, act=act, names=names),))


def ruled_one(seed: int) -> WorldPlan:
    """Two clusters below the threshold hang together by nothing that hosts tell; officers know."""
    return _ruled(cluster_worlds.separate(seed), "unite", *cluster_worlds.NAMES)


def ruled_apart(seed: int) -> WorldPlan:
    """Two clusters share a fabric; officers rule that one of them stands apart."""
    return _ruled(cluster_worlds.in_parts(seed), "apart", "beta")


def ruled_both_ways(seed: int) -> WorldPlan:
    """They stand apart for a while, and are one again."""
    plan = cluster_worlds.in_parts(seed)
    apart = Act(at_ms=300_000, act="apart", names=("beta",))
    return replace(plan, acts=(apart, Act(at_ms=600_000, act="unite", names=cluster_worlds.NAMES)))


def _on_subnets(seed: int, **beta: object) -> WorldPlan:
    plan = cluster_worlds.separate(seed)
    hosts = tuple(
        replace(
            host,
            chip=PROFILES["a100"],
            **(beta if host.cluster == "beta" else {}),  # type: ignore[arg-type]
        )
        for host in plan.hosts
    )
    policy = replace(plan.policy, threshold_tflop_per_s=A100_THRESHOLD_TFLOP_PER_S)
    return replace(plan, hosts=hosts, policy=policy)


def one_subnet(seed: int) -> WorldPlan:
    """A cluster of chips without a fabric is declared in parts, on the links of one subnet."""
    return _on_subnets(seed, fabric="alpha")


def slow_subnet(seed: int) -> WorldPlan:
    """Two clusters see each other over links that are too slow to make them one."""
    return _on_subnets(seed, fabric="alpha", port_mbit_per_s=100_000)


def subnet_of_two_sites(seed: int) -> WorldPlan:
    """A subnet of that name is found at two sites: hosts alone cannot say that it is one."""
    return _on_subnets(seed, fabric="alpha", site="site-2")


# ---------------------------------------------------------------------- workloads


def _computing(*workloads: str) -> tuple[HostPlan, ...]:
    template = plain(1).hosts[0]
    return tuple(
        replace(
            template,
            name=f"host-{number}",
            lanes=(LanePlan(workload=workload, chips=tuple(range(CHIPS))),),
            drift_ppm=0,
        )
        for number, workload in enumerate(workloads)
    )


def tiered(seed: int, *workloads: str, acts: tuple[Act, ...]) -> WorldPlan:
    """Each host computes a workload of its own, under a policy that bounds them."""
    policy = replace(
        POLICY,
        register_tflop=REGISTER_TFLOP,
        prohibit_tflop=PROHIBIT_TFLOP,
        prohibit_tflop_per_s=3 * H100_TFLOP_PER_S,
        tiers=(
            Tier(training_tflop=9_000_000, inference_tflop_per_s=2 * H100_TFLOP_PER_S),
            Tier(training_tflop=PROHIBIT_TFLOP, inference_tflop_per_s=3 * H100_TFLOP_PER_S),
        ),
    )
    plan = plain(seed)
    return replace(
        plan, hosts=_computing(*workloads), policy=policy, acts=acts, duration_ms=2 * SHORT_MS
    )


def train(at_ms: int, name: str, *parents: str, tier: int = 1) -> Act:
    """Officers register a training run."""
    return Act(at_ms=at_ms, act="train", scope=f"workload:{name}", names=parents, tier=tier)


def serve(at_ms: int, name: str, *parents: str, tier: int = 1) -> Act:
    """Officers register an inference deployment."""
    return Act(at_ms=at_ms, act="serve", scope=f"workload:{name}", names=parents, tier=tier)


def merged(seed: int) -> WorldPlan:
    """Two fine-tunes of one base, and their merge, until its lineage is at its bound."""
    acts = (
        train(1_000, "base"),
        train(2_000, "left", "base"),
        train(2_000, "right", "base"),
        train(3_000, "merge", "left", "right"),
    )
    return tiered(seed, "base", "left", "right", "merge", acts=acts)


def many_names(seed: int) -> WorldPlan:
    """One custodian, many small runs, none of them registered."""
    return tiered(seed, *(f"small-{number}" for number in range(4)), acts=())


def deployed(seed: int) -> WorldPlan:
    """A deployment on more hosts than its tier allows."""
    return tiered(seed, *("model",) * 4, acts=(serve(1_000, "model"),))


def relabelled(seed: int) -> WorldPlan:
    """What two hosts train is called a deployment, and then something descends from it."""
    acts = (serve(1_000, "served"), train(900_000, "next", "served"))
    return tiered(seed, "served", "served", "next", acts=acts)
