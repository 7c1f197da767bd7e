"""What the gate shows of itself: every lane that does not run says why, and the way back."""

from __future__ import annotations

from flopgate_agent.gate_process.snapshot import snapshot
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState
from tests.support.gate_rig import GateRig, running


def test_an_unenrolled_host_says_why_its_lanes_are_not_let_run() -> None:
    rig = GateRig().run(5_000)
    shown = snapshot(rig.core)
    (lane,) = shown.lanes
    assert shown.host_state == "unenrolled"
    assert lane.stop_reason == "host.unenrolled"
    assert "flopgate-agent join" in lane.way_back


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
