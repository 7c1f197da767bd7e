"""What officers rule on hosts, clusters and workloads, as far as an act of the plan says."""

from __future__ import annotations

from flopgate_governor.views.adoptable import adoptable
from flopgate_proto.envelope import Envelope
from flopgate_proto.values.common import WorkloadKind
from flopgate_proto.values.orders import Adoption, Closure, ClusterRuling, Registration, Relief
from flopgate_sim.world.governors.governor import Governor
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.plan import Act

EVIDENCE = bytes(range(32))
MORE_TFLOP = 10**6
RULINGS = frozenset(
    {
        "veto",
        "adopt",
        "close",
        "relieve",
        "relieve-all",
        "relieve-more",
        "unite",
        "apart",
        "train",
        "serve",
    }
)
"""Acts that are one."""


def ruling(act: Act, governor: Governor, host: Host | Governor | None) -> Envelope | None:
    """What they sign; ``None`` where there is nothing to rule on, or nobody who could say what."""
    sign, workload = governor.officers.rule, act.scope.partition(":")[2]
    if act.act == "veto":
        waiting = () if governor.state is None else governor.state.book.orders.waiting
        return governor.officers.veto(waiting[0].digest) if waiting else None
    if act.act in {"unite", "apart"}:
        return sign(ClusterRuling, clusters=act.names, apart=act.act == "apart")
    if act.act in {"train", "serve"}:
        kind = WorkloadKind.TRAINING if act.act == "train" else WorkloadKind.INFERENCE
        custodian = next(
            one.plan.custodian
            for one in governor.truth.hosts.values()
            if any(lane.workload == workload for lane in one.plan.lanes)
        )
        return sign(
            Registration,
            workload=workload,
            kind=kind,
            custodian=custodian,
            parents=act.names,
            tier=act.tier,
            prior_tflop=act.cap_tflop,
        )
    if not isinstance(host, Host) or governor.state is None:
        return None
    if act.act == "close":
        return sign(Closure, host_id=host.host_id)
    if act.act == "adopt":
        heads = adoptable(governor.state, host.host_id)
        if not heads:
            return None
        sequence, head, _ = heads[-1]
        return sign(Adoption, host_id=host.host_id, sequence=sequence, head=head)
    told = governor.truth.newest.get((host.host_id, workload), (0, 0, 0))[2]
    amount = {"relieve": told // 2, "relieve-all": told}.get(act.act, told + MORE_TFLOP)
    if amount == 0:
        return None
    return sign(
        Relief,
        host_id=host.host_id,
        workload=workload,
        amount_tflop=amount,
        evidence_digest=EVIDENCE,
    )
