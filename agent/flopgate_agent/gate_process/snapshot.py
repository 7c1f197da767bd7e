"""What the gate shows of itself to couriers and the host's own people: no secrets."""

from __future__ import annotations

from collections.abc import Container

from flopgate_agent.gate.allowance import Allowed
from flopgate_agent.gate.authority import Authority
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.lane import Lane
from flopgate_proto.codec.common import figures_to
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState

_MAY_START = frozenset({LaneState.RUNNING, LaneState.EXEMPT})


def snapshot(
    core: GateCore, closed: Container[str] = (), ledger_free_bytes: int | None = None
) -> pb.Snapshot:
    """State and figures of this moment; ``closed``: lanes whose chips take no new job yet.

    Lanes of an earlier configuration run nothing and are left out: reports carry their books.
    """
    admitted = [one for one in core.authorities.values() if one.admitted]
    return pb.Snapshot(
        host_id=core.settings.host_id,
        elapsed_ms=core.elapsed_ms,
        sequence=core.chain.sequence,
        acknowledged_sequence=min((one.acknowledged_sequence for one in admitted), default=0),
        lanes=[_lane(core, lane, closed) for lane in core.lanes.values() if lane.setting.chips],
        host_state=_state(core),
        phase=pb.Phase.ValueType(core.in_force.phase.value if core.enrolled else 0),
        phase_reason=core.in_force.why if core.enrolled else "",
        findings=[
            pb.FindingCount(id=name, count=count)
            for name, count in sorted(core.findings.counts.items())
        ],
        ledger_free_bytes=ledger_free_bytes,
        without_authorities=[one.name for one in admitted if one.lost_say],
        cluster_merges=[
            pb.ClusterMerge(
                authority=one.authority,
                cluster=one.cluster,
                other=one.other,
                key=one.key,
                state=pb.MergeState.ValueType(one.state.value),
                why=one.why,
            )
            for one in core.chain.cluster_notices.held(core.running_ms)
        ],
        licenses=[_license(core, one) for one in admitted if one.desk.license is not None],
    )


def _state(core: GateCore) -> str:
    if core.enrolled:
        return "retiring" if core.retiring.asked else "enrolled"
    return "retired" if core.chain.ended else "unenrolled"


def _license(core: GateCore, authority: Authority) -> pb.LicenseSnapshot:
    desk, held = authority.desk, authority.desk.license
    if held is None:
        return pb.LicenseSnapshot(authority=authority.name)
    message = pb.LicenseSnapshot(
        authority=authority.name,
        span_ms=held.span_ms,
        used_ms=desk.used_until(core.elapsed_ms),
        not_before_unix_ms=held.not_before_unix_ms,
        not_after_unix_ms=held.not_after_unix_ms,
        request=held.request,
        approval=held.approval,
    )
    message.state = pb.LicenseState.ValueType(desk.standing.state.value)
    message.single_use = pb.SingleUse.ValueType(held.single_use.value)
    return message


def _lane(core: GateCore, lane: Lane, closed: Container[str]) -> pb.LaneSnapshot:
    permission = core.permissions.get(lane.workload)
    allowed = permission if isinstance(permission, Allowed) else None
    if allowed is not None and allowed.licensed_by:
        # People want to know what is left of it, not of the step that is reserved.
        found = core.whole(lane.workload)
        allowed = found if isinstance(found, Allowed) else allowed
    # Before an admission no lane is stepped: its state is where it starts from, nothing is held.
    why = lane.why if core.enrolled else core.free
    message = pb.LaneSnapshot(
        workload=lane.workload,
        stop_reason=why.reason if why else "",
        stop_detail=why.detail if why else "",
        stop_authority=why.authority if why else "",
        stop_order_digest=why.order_digest if why else b"",
        way_back=why.way_back if why else "",
        left_ms=max(0, allowed.until_ms - core.elapsed_ms) if allowed else 0,
        until_by=allowed.until_by if allowed else "",
        left_tflop=lane.left_tflop(allowed) if allowed else 0,
        ceiling_by=allowed.ceiling_by if allowed else "",
        total=figures_to(lane.book.reported_measured + lane.book.reported_gap),
        allotted_tflop=lane.book.allotted_tflop,
        unaccounted_tflop=lane.book.unaccounted_tflop,
        licensed=allowed is not None and bool(allowed.licensed_by),
        may_start=not core.enrolled or (lane.state in _MAY_START and lane.workload not in closed),
    )
    message.state = pb.LaneState.ValueType(lane.state.value)
    if lane.would is not None:
        message.would_stop.since_ms = lane.would.since_ms
        message.would_stop.freeze_at_ms = lane.would.freeze_at_ms
    return message
