"""What the gate shows of itself to couriers and the host's own people: no secrets."""

from __future__ import annotations

from collections.abc import Container

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.authorities.license import License, LicenseDesk
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.lanes.allowance import Allowed
from flopgate_agent.gate.lanes.lane import Lane
from flopgate_proto.codec.common import fill_figures
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState

_MAY_START = frozenset({LaneState.RUNNING, LaneState.EXEMPT})


def snapshot(
    core: GateCore, closed: Container[str] = (), ledger_free_bytes: int | None = None
) -> pb.Snapshot:
    """State and figures of this moment; ``closed``: lanes whose chips take no new job yet.

    Lanes of an earlier configuration run nothing and are left out: reports carry their books.
    """
    message = pb.Snapshot()
    fill_snapshot(message, core, closed, ledger_free_bytes)
    return message


def fill_snapshot(
    message: pb.Snapshot,
    core: GateCore,
    closed: Container[str] = (),
    ledger_free_bytes: int | None = None,
) -> None:
    """The same, in place: a message given to another's constructor is copied."""
    message.host_id = core.settings.host_id
    message.elapsed_ms = core.elapsed_ms
    message.sequence = core.chain.sequence
    admitted = [one for one in core.authorities.values() if one.admitted]
    acknowledged = [one.acknowledged_sequence for one in admitted]
    message.acknowledged_sequence = min(acknowledged, default=0)
    for lane in core.lanes.values():
        if lane.setting.chips:
            _fill_lane(message.lanes.add(), core, lane, closed)
    message.host_state = _state(core)
    if core.enrolled:
        message.phase = pb.Phase.ValueType(core.in_force.phase.value)
        message.phase_reason = core.in_force.why
    for name, count in sorted(core.findings.counts.items()):
        found = message.findings.add()
        found.id, found.count = name, count
    if ledger_free_bytes is not None:
        message.ledger_free_bytes = ledger_free_bytes
    message.without_authorities.extend([one.name for one in admitted if one.lost_say])
    for notice in core.chain.cluster_notices.held(core.running_ms):
        merge = message.cluster_merges.add()
        merge.authority, merge.cluster, merge.other = notice.authority, notice.cluster, notice.other
        merge.key, merge.why = notice.key, notice.why
        merge.state = pb.MergeState.ValueType(notice.state.value)
    message.licenses.extend(
        _license(core, one, desk, held)
        for one in admitted
        for desk in one.desks
        if (held := desk.license) is not None
    )


def _state(core: GateCore) -> str:
    if core.enrolled:
        return "retiring" if core.retiring.asked else "enrolled"
    return "retired" if core.chain.ended else "unenrolled"


def _license(
    core: GateCore, authority: Authority, desk: LicenseDesk, held: License
) -> pb.LicenseSnapshot:
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


def _fill_lane(
    message: pb.LaneSnapshot, core: GateCore, lane: Lane, closed: Container[str]
) -> None:
    permission = core.permissions.get(lane.workload)
    allowed = permission if isinstance(permission, Allowed) else None
    if allowed is not None and allowed.licensed_by:
        # People want to know what is left of it, not of the step that is reserved.
        found = core.whole(lane.workload)
        allowed = found if isinstance(found, Allowed) else allowed
    # Before an admission no lane is stepped: its state is where it starts from, nothing is held.
    why = lane.why if core.enrolled else core.free
    message.workload = lane.workload
    message.state = pb.LaneState.ValueType(lane.state.value)
    if why:
        message.stop_reason = why.reason
        message.stop_detail = why.detail
        message.stop_authority = why.authority
        message.stop_order_digest = why.order_digest
        message.way_back = why.way_back
    if allowed is not None:
        message.left_ms = max(0, allowed.until_ms - core.elapsed_ms)
        message.until_by = allowed.until_by
        message.left_tflop = lane.left_tflop(allowed)
        message.ceiling_by = allowed.ceiling_by
        message.licensed = bool(allowed.licensed_by)
        message.on_reserve = bool(allowed.reserve_by)
    fill_figures(message.total, lane.book.reported_measured + lane.book.reported_gap)
    message.allotted_tflop = lane.book.allotted_tflop
    message.unaccounted_tflop = lane.book.unaccounted_tflop
    message.may_start = not core.enrolled or (
        lane.state in _MAY_START and lane.workload not in closed
    )
    if lane.would is not None:
        message.would_stop.since_ms = lane.would.since_ms
        message.would_stop.freeze_at_ms = lane.would.freeze_at_ms
