"""What hosts that hang together were charged, for each to hold itself against."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values.common import LaneState
from flopgate_proto.values.reports import LaneReport

GFLOP_PER_TFLOP = 1_000
INTERVAL_MIN_MS = 10_000
"""Shorter intervals say little: a step of training can take as long."""
WORKS = frozenset({LaneState.RUNNING, LaneState.EXEMPT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The hosts of one fabric that serve one workload, by their newest reports.

    Attributes:
        fabric_cluster_uuid: 16 bytes, as the driver gives it.
        hosts: how many, 1 to 2**32-1.
        median_gflop_per_s: over these hosts, of what one chip was charged a second, nominal.
    """

    authority: str
    governor_unix_ms: int
    fabric_cluster_uuid: bytes
    workload: str
    hosts: int
    median_gflop_per_s: int


def charged_gflop_per_s(lane: LaneReport, interval_ms: int) -> int | None:
    """What one chip of a lane was charged a second, gaps included; ``None``: nothing to compare.

    At most what can be told: any count may stand in a report.
    """
    if interval_ms < INTERVAL_MIN_MS or not lane.chips or lane.state not in WORKS:
        return None
    tflop = lane.measured.nominal_tflop + lane.gap.nominal_tflop
    return min(tflop * GFLOP_PER_TFLOP * 1000 // (interval_ms * len(lane.chips)), COUNT_MAX)
