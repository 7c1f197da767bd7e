"""Registered workloads as officers signed them, and whether a governor keeps to what they allow.

Worked out apart from production code: lineages by walking every path, sums from what gates may use
by grants that really left. A bound that is passed breaks law 2; a refusal for which there was no
ground breaks law 8, for it names a false reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flopgate_proto.limits import COUNT_MAX, STOP_SLACK_MS
from flopgate_proto.values.common import CapacityBasis, WorkloadKind
from flopgate_proto.values.orders import Policy, Registration
from flopgate_sim.world.plan import run_of

if TYPE_CHECKING:
    from flopgate_sim.world.hosts.host import Host
    from flopgate_sim.world.truths.governor import GovernorTruth

_MS_FLOP_PER_TFLOP = 1_000 * 10**12
GROUNDLESS = frozenset(
    {"workload.unregistered", "workload.tier", "workload.prohibited", "workload.rate"}
)
"""Reasons that are looked into."""


class WorkTruth:
    """What officers of one authority registered."""

    def __init__(self) -> None:
        self._works: dict[str, Registration] = {}
        self._excused: dict[str, int] = {}

    def registered(self, order: Registration, usable_tflop: dict[str, int]) -> None:
        """It is in force; what gates may use already is no fault of it."""
        self._works[order.workload] = order
        self._excused = {name: self._total(name, usable_tflop) for name in self._works}

    def passed(self, truth: GovernorTruth, host: Host, workload: str) -> Iterator[str]:
        """Bounds that a grant to this lane brought somebody over."""
        policy = truth.policy
        if policy is None:
            return
        for name, total, most in self._sums(host, workload, policy, truth.usable_tflop):
            if total > max(most, self._excused.get(name.rpartition(" ")[2], 0)):
                yield f"{host.name}: {name} may come to {total} TFLOP, {most} are allowed"
        work = self._of(host, workload)
        if work is not None and work.kind is WorkloadKind.INFERENCE:
            lanes = self._lanes(truth, work)
            live = [one for one in lanes if any(g.workload == workload for g in one.truth.grants)]
            rate, most = sum(_peak(one, workload, policy) for one in live), _fastest(policy, work)
            if rate > most:
                yield f"{host.name}: {workload} holds chips of {rate} TFLOP/s, {most} are allowed"

    def groundless(
        self, truth: GovernorTruth, host: Host, workload: str, reason: str
    ) -> Iterator[str]:
        """Whether this reason was given although there was room."""
        policy = truth.policy
        if policy is None or reason not in GROUNDLESS:
            return
        if truth.restores or truth.silence.anybody(policy):
            return  # what they may have done counts, and is known to the governor alone
        if reason == "workload.rate":
            work = self._of(host, workload)
            ever = [
                one
                for one in ([] if work is None else self._lanes(truth, work))
                if one is host or one.truth.ever_tflop(truth.name, workload)
            ]
            rate = sum(_peak(one, workload, policy) for one in ever)
            if work is None or rate <= _fastest(policy, work):
                yield f"{host.name}: {reason}, though all that was ever granted has {rate} TFLOP/s"
            return
        span_ms = policy.wind_down_ms + policy.drain_ms + STOP_SLACK_MS
        reach = host.plan.spec.worst_high_flop_per_s * host.plan.chips * span_ms
        need = -(-reach // _MS_FLOP_PER_TFLOP)
        sums = list(self._sums(host, workload, policy, _most(truth)))
        if all(total + need < most for _, total, most in sums):
            yield f"{host.name}: {reason}, though there is room: {sums}"

    def _of(self, host: Host, workload: str) -> Registration | None:
        work = self._works.get(workload)
        return work if work is not None and work.custodian == host.plan.custodian else None

    def _lanes(self, truth: GovernorTruth, work: Registration) -> list[Host]:
        return [
            host
            for host in truth.hosts.values()
            if host.plan.custodian == work.custodian
            and any(lane.workload == work.workload for lane in host.plan.lanes)
        ]

    def _sums(
        self, host: Host, workload: str, policy: Policy, tflop: dict[str, int]
    ) -> Iterator[tuple[str, int, int]]:
        """Whatever this lane counts for: its name, what it comes to, and what is allowed."""
        custodian = host.plan.custodian
        if self._of(host, workload) is None:
            known = [one for one in self._works.values() if one.custodian == custodian]
            total = tflop.get(f"custodian:{custodian}", 0)
            total -= sum(tflop.get(run_of(custodian, one.workload), 0) for one in known)
            yield f"what {custodian} did not register", total, policy.register_tflop or COUNT_MAX
            return
        for name, work in self._works.items():
            if workload in self._line(name):
                yield f"the lineage of {name}", self._total(name, tflop), _furthest(policy, work)

    def _total(self, name: str, tflop: dict[str, int]) -> int:
        line, work = self._line(name), self._works[name]
        counted = line if _counts_itself(work) else line - {name}
        total = sum(tflop.get(run_of(self._works[one].custodian, one), 0) for one in counted)
        return total + sum(self._works[one].prior_tflop for one in line)

    def _line(self, name: str) -> set[str]:
        line = {name}
        for parent in self._works[name].parents:
            line |= self._line(parent)
        return line


def _counts_itself(work: Registration) -> bool:
    return not (work.kind is WorkloadKind.INFERENCE and work.tier)


def _furthest(policy: Policy, work: Registration) -> int:
    prohibited = policy.prohibit_tflop or COUNT_MAX
    if work.tier == 0:
        return min(prohibited, policy.register_tflop or COUNT_MAX)
    tiers = [tier.training_tflop for tier in policy.tiers[: work.tier]]
    return min(prohibited, tiers[-1] if tiers else COUNT_MAX)


def _fastest(policy: Policy, work: Registration) -> int:
    tiers = [tier.inference_tflop_per_s for tier in policy.tiers[: work.tier]]
    return min(policy.prohibit_tflop_per_s or COUNT_MAX, tiers[-1] if tiers else COUNT_MAX)


def _peak(host: Host, workload: str, policy: Policy) -> int:
    """Of the chips of one lane, in TFLOP/s, rounded up."""
    spec = host.plan.spec
    low = policy.capacity_basis is CapacityBasis.DENSE_16BIT
    peak = spec.peak_16bit_flop_per_s if low else spec.peak_8bit_up_flop_per_s
    chips = sum(len(lane.chips) for lane in host.plan.lanes if lane.workload == workload)
    return -(-peak * chips // 10**12)


def _most(truth: GovernorTruth) -> dict[str, int]:
    """By scope: the most that a governor can hold for spent, granted, or without a grant."""
    sums: dict[str, int] = {}
    for host in set(truth.hosts.values()):
        for lane in host.plan.lanes:
            _, allotted, unaccounted = truth.newest.get((host.host_id, lane.workload), (0, 0, 0))
            ever = host.truth.ever_tflop(truth.name, lane.workload)
            for scope in host.plan.scopes_of(lane.workload):
                sums[scope] = sums.get(scope, 0) + max(ever, allotted) + unaccounted
    return sums
