"""What lanes come to, as the wires and the gates know it, summed up by scope."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flopgate_proto.v1 import flopgate_pb2 as pb

if TYPE_CHECKING:
    from flopgate_sim.world.hosts.host import Host


@dataclass(slots=True)
class LaneSums:
    """Of one authority.

    Attributes:
        newest: by (host, workload): (sequence, allotted, unaccounted) of the newest acknowledged.
        settled_tflop: sums of these allotted totals, by scope in words.
        unaccounted_tflop: the same of their unaccounted totals.
        grown_unaccounted: how these grew: (governor time, amount) by scope.
        offered, offered_tflop: the same of all genuine reports that reached it, answered or not.
        offered_unaccounted: by (host, workload), the highest of these.
        begun_unaccounted: the same as their enrolments told it: in no budget here.
        usable_tflop: by scope: sums of ``lane_usable_tflop``, the highest total that a lane may
            reach by grants that left; hosts in ``moved`` are to be looked at anew.
    """

    name: str
    hosts: dict[bytes, Host] = field(default_factory=dict)
    newest: dict[tuple[bytes, str], tuple[int, int, int]] = field(default_factory=dict)
    settled_tflop: dict[str, int] = field(default_factory=dict)
    unaccounted_tflop: dict[str, int] = field(default_factory=dict)
    grown_unaccounted: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    offered: dict[tuple[bytes, str], int] = field(default_factory=dict)
    offered_unaccounted: dict[tuple[bytes, str], int] = field(default_factory=dict)
    begun_unaccounted: dict[tuple[bytes, str], int] = field(default_factory=dict)
    offered_tflop: dict[str, int] = field(default_factory=dict)
    usable_tflop: dict[str, int] = field(default_factory=dict)
    lane_usable_tflop: dict[tuple[bytes, str], int] = field(default_factory=dict)
    moved: set[bytes] = field(default_factory=set)

    def begin(self, host_id: bytes, enrolment: pb.Enrolment) -> None:
        """A host was admitted: what it had counted by then is not of this authority."""
        for lane in enrolment.lanes:
            entry = (enrolment.sequence, lane.allotted_tflop, lane.unaccounted_tflop)
            self.newest.setdefault((host_id, lane.workload), entry)
            self.begun_unaccounted.setdefault((host_id, lane.workload), lane.unaccounted_tflop)

    def offer_lanes(self, host: Host, report: pb.Report) -> None:
        """A genuine report reached the governor."""
        for lane in report.lanes:
            place = (report.host_id, lane.workload)
            told = max(self.offered_unaccounted.get(place, 0), lane.unaccounted_tflop)
            self.offered_unaccounted[place] = told
            grown = lane.allotted_tflop - self.offered.get(place, 0)
            if grown <= 0:
                continue
            self.offered[place] = lane.allotted_tflop
            for scope in host.plan.scopes_of(lane.workload):
                self.offered_tflop[scope] = self.offered_tflop.get(scope, 0) + grown

    def acknowledge(self, host: Host, report: pb.Report, unix_ms: int) -> None:
        """A report was answered, at this time of the governor's."""
        for lane in report.lanes:
            entry = (report.sequence, lane.allotted_tflop, lane.unaccounted_tflop)
            place = (report.host_id, lane.workload)
            before = self.newest.get(place, (0, 0, 0))
            self.newest[place] = newer = max(before, entry)
            for scope in host.plan.scopes_of(lane.workload):
                total = self.settled_tflop.get(scope, 0) + newer[1] - before[1]
                self.settled_tflop[scope] = total
                grown = newer[2] - before[2]
                self.unaccounted_tflop[scope] = self.unaccounted_tflop.get(scope, 0) + grown
                if grown:
                    self.grown_unaccounted.setdefault(scope, []).append((unix_ms, grown))

    def known_unaccounted_tflop(self, scope: str, unix_ms: int) -> int:
        """What an answer of this governor time could know of: it may leave after later ones."""
        grown = self.grown_unaccounted.get(scope, ())
        return self.unaccounted_tflop.get(scope, 0) - sum(
            tflop for grown_unix_ms, tflop in grown if grown_unix_ms > unix_ms
        )

    def count_usable(self, now_us: int, *, anew: bool) -> None:
        """Bring the sums of what gates may use up to date, for all lanes or those that moved."""
        moved = list(self.hosts) if anew else list(self.moved)
        self.moved.clear()
        for host_id in moved:
            host = self.hosts[host_id]
            core = None if host.runner is None else host.runner.core
            for lane in host.plan.lanes:
                place = (host_id, lane.workload)
                spent = self.newest.get(place, (0, 0, 0))[1]
                if core is not None and lane.workload in core.lanes:
                    spent = max(spent, core.lanes[lane.workload].book.allotted_tflop)
                most = host.truth.usable_tflop(self.name, lane.workload, now_us, spent)
                grown = most - self.lane_usable_tflop.get(place, 0)
                self.lane_usable_tflop[place] = most
                for scope in host.plan.scopes_of(lane.workload) if grown else ():
                    self.usable_tflop[scope] = self.usable_tflop.get(scope, 0) + grown
