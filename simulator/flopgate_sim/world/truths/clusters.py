"""Which hosts of the world really hang together, and whether a governor treats them so.

Worked out apart from production code, from the plan: what hosts tell may be a lie, where they hang
is not. A governor knows of a host's links from the report on which it told them.
"""

from __future__ import annotations

from collections import Counter

from flopgate_proto.values.common import CapacityBasis
from flopgate_proto.values.orders import ClusterRuling, Policy
from flopgate_sim.world.plan import HostPlan

TFLOP = 10**12
WORDS = 2
"""Hosts of a cluster that must have told their links, unless it has fewer."""


class ClusterTruth:
    """One governor's hosts."""

    def __init__(self) -> None:
        self._plans: dict[bytes, HostPlan] = {}
        self._told: set[bytes] = set()
        self._gone: set[bytes] = set()
        self._rulings: list[ClusterRuling] = []
        self._most: dict[tuple[str, CapacityBasis], int] = {}
        self._least: dict[tuple[str, CapacityBasis], int] = {}

    def join(self, host_id: bytes, plan: HostPlan) -> None:
        """A host of the world."""
        self._plans[host_id] = plan
        self._most.clear()

    def told(self, host_id: bytes) -> None:
        """Its links are on record."""
        if host_id in self._plans and host_id not in self._told:
            self._told.add(host_id)
            self._least.clear()

    def gone(self, host_id: bytes) -> None:
        """Its retirement was acknowledged: its chips count no more."""
        self._gone.add(host_id)
        self._least.clear()

    def ruled(self, ruling: ClusterRuling) -> None:
        """Officers said what makes up a cluster, whatever its wires are."""
        self._rulings.append(ruling)
        self._most.clear()
        self._least.clear()

    def forget(self) -> None:
        """An older store took the place of what was on record."""
        self._told.clear()
        self._least.clear()

    def doubt(self, plan: HostPlan, policy: Policy | None, *, exempt: bool) -> str:
        """What is wrong with a permit that is given now, in words; empty if nothing is."""
        if policy is None:
            return ""
        key = (plan.cluster, policy.capacity_basis)
        # A host that left may have been there still when others were judged with its last report.
        sums = self._least if exempt else self._most
        if key not in sums:
            among = self._told - self._gone if exempt else set(self._plans)
            sums[key] = self._capacity(plan.cluster, among, policy.capacity_basis)
        covered = sums[key] >= policy.threshold_tflop_per_s * TFLOP
        if exempt is not covered:
            return ""
        rate = f"{sums[key] // TFLOP} TFLOP/s"
        if exempt:
            return f"exempt, though known hosts of its cluster do {rate}"
        return f"covered, though its cluster does {rate}"

    def _capacity(self, cluster: str, among: set[bytes], basis: CapacityBasis) -> int:
        """Of these hosts, as far as they hang together with a cluster, declared or by links."""
        hosts = [self._plans[host_id] for host_id in among]
        whole = Counter(one.cluster for one in self._plans.values())
        words = Counter((one.cluster, one.wire) for one in hosts)
        ends = [(name, wire) for (name, wire), n in words.items() if n >= min(WORDS, whole[name])]
        names, before = {cluster}, set[str]()
        while names != before:
            before = set(names)
            wires = [(name, wire) for name, wire in ends if name in before]
            linked = {(a, b) for a, wire in wires for b, other in ends if wire == other}
            names |= {b for a, b in linked if self._ruled(a, b) is not False}
            names |= {b for a in before for b in whole if self._ruled(a, b)}
        return sum(_rate(one, basis) for one in hosts if one.cluster in names)

    def _ruled(self, a: str, b: str) -> bool | None:
        """Whether two are one by the newest ruling that says something of both."""
        for ruling in reversed(self._rulings):
            inside = [name in ruling.clusters for name in (a, b)]
            if ruling.apart and any(inside) and not all(inside):
                return False
            if not ruling.apart and all(inside):
                return True
        return None


def _rate(plan: HostPlan, basis: CapacityBasis) -> int:
    spec = plan.spec
    if basis is CapacityBasis.DENSE_8BIT:
        return plan.chips * spec.peak_8bit_up_flop_per_s
    return plan.chips * spec.peak_16bit_flop_per_s
