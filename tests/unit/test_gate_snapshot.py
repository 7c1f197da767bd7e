"""What the gate shows of itself: every lane that does not run says why, and the way back."""

from __future__ import annotations

from flopgate_agent.gate_process.snapshot import snapshot
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState, Phase, PhaseRule, Scope, ScopeKind
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, running


def test_an_unenrolled_host_says_why_its_lanes_are_not_let_run() -> None:
    rig = GateRig().run(5_000)
    shown = snapshot(rig.core)
    (lane,) = shown.lanes
    assert shown.host_state == "unenrolled"
    assert lane.stop_reason == "host.unenrolled"
    assert "flopgate-agent join" in lane.way_back
    assert (shown.phase, shown.phase_reason) == (pb.PHASE_UNSPECIFIED, "")


def test_a_lane_that_runs_has_no_reason_and_one_that_stands_has_its_own() -> None:
    rig = running()
    (lane,) = snapshot(rig.core).lanes
    assert (lane.state, lane.stop_reason, lane.way_back) == (pb.LANE_STATE_RUNNING, "", "")
    assert lane.left_ms > 0
    rig.order(rig.authority.pause())
    rig.run_until(LaneState.HALTED)
    (lane,) = snapshot(rig.core).lanes
    assert (lane.state, lane.stop_reason) == (pb.LANE_STATE_HALTED, "pause.latched")
    assert lane.way_back
    assert lane.left_ms == 0


def test_the_phase_is_named_and_what_would_stop_a_lane_stands_beside_its_state() -> None:
    authority = GateAuthority()
    everything = Scope(ScopeKind.EVERYTHING)
    observe = PhaseRule(scope=everything, phase=Phase.OBSERVE, from_unix_ms=0)
    authority.policy_order(phases=(observe,))
    rig = GateRig(authority)
    rig.hardware.start(pid=100)
    rig.enrol().run(5_000)
    shown = snapshot(rig.core)
    assert (shown.phase, shown.phase_reason) == (
        pb.PHASE_OBSERVE,
        f"policy 2 of {authority.name}",
    )
    assert not shown.lanes[0].HasField("would_stop")
    pause = authority.pause(scope=everything, lapse_ms=1_000_000)
    rig.order(pause)
    paused_ms = rig.now_ms
    rig.run(5_000)
    (lane,) = snapshot(rig.core).lanes
    assert (lane.state, lane.stop_reason) == (pb.LANE_STATE_RUNNING, "pause.latched")
    assert (lane.stop_authority, lane.stop_order_digest) == (authority.name, pause.digest)
    assert lane.would_stop == pb.WouldStop(
        since_ms=paused_ms,
        freeze_at_ms=paused_ms + authority.policy.wind_down_ms,
    )
