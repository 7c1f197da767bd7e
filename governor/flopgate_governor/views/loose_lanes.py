"""Lanes that run only because rules do not bite (docs/phases.md). Needs no store."""

from __future__ import annotations

from flopgate_proto.v1 import flopgate_pb2 as pb


def would_stop(lane: pb.LaneReport) -> bool:
    """Whether it would be stopped, were it enforced: it names a reason and is not stopping."""
    runs = lane.state in {pb.LANE_STATE_RUNNING, pb.LANE_STATE_EXEMPT}
    return runs and bool(lane.stop_reason)
