"""The host's chain of reports: where it stands, and which reports of this run await an answer."""

from __future__ import annotations

from collections.abc import Sequence

from flopgate_agent.gate.actions import Action, SendReport
from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from flopgate_agent.gate.lanes.lane import Lane
from flopgate_agent.gate.reports.answers import Sent
from flopgate_agent.gate.reports.cluster_notices import ClusterNotices
from flopgate_agent.gate.reports.neighbours import Neighbourhood, Own
from flopgate_agent.gate.reports.reporting import build_report, lane_report
from flopgate_agent.gate.reports.topology import HostTopology
from flopgate_agent.gate.settings import GateSettings, Now
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import MisuseError
from flopgate_proto.quick import maker
from flopgate_proto.values import Finding, LaneReport, Request

make_sent = maker(Sent)
make_send_report = maker(SendReport)

REQUESTS_MAX = 128
"""Reports with a request that are kept whole while an answer may rule, newest first to stay.
A lane that is pressed asks each 5 s, and a permit of the default policy lasts 600 s."""
REQUESTS_LEFT = 8
"""Of those that newer ones overtook: an authority whose store was put back answers some again."""
STILL_NAMED = 64
"""Acknowledged reports that an answer on its way may still name."""
SENT_MAX = 4096
"""Reports of this run whose answers are still told apart; older ones count as unknown."""


class Chain:
    """Sequence, head, and the interval that the next report covers.

    Attributes:
        lanes: as the report at the head gives them.
        reported_ms: host elapsed time of the last report of this run.
        sent: reports of this run by digest, oldest first.
        requests: those of them that ask, as they were signed, for what the next run is left;
            oldest first.
        ended: the last report is the last of all: the host retires.
        overdue: a report should be made although its time has not come.
        topology: of the host, for the reports.
        interval_ms: of the newest report of this run, 0 before it.
        neighbourhood: what authorities said of other hosts.
    """

    def __init__(self, settings: GateSettings, now_ms: int) -> None:
        self._settings = settings
        self.sequence, self.head = 0, settings.host_id
        self.lanes: tuple[LaneReport, ...] = ()
        self.interval_start_ms = now_ms
        self.reported_ms = now_ms
        self.sent: dict[bytes, Sent] = {}
        self.requests: dict[bytes, Envelope] = {}
        self.ended = False
        self.overdue = True
        self.topology = HostTopology()
        self.interval_ms = 0
        self.neighbourhood = Neighbourhood()
        self.cluster_notices = ClusterNotices()

    def introduce(self) -> None:
        """An authority follows the chain from here on: soon a report that leaves nothing out."""
        self.overdue = True
        self.topology.owe()

    def due(self, now_ms: int) -> bool:
        """Whether a report must be made even if nothing is asked for."""
        return self.overdue or now_ms >= self.next_ms

    @property
    def next_ms(self) -> int:
        """Host elapsed time of the next report at the latest."""
        return self.reported_ms + self._settings.report_interval_ms

    def append(
        self,
        lanes: Sequence[Lane],
        chips: Sequence[ChipMeter],
        authorities: Sequence[Authority],
        findings: Sequence[Finding],
        *,
        running_ms: int,
        request: Request | None,
        now: Now,
        final: bool = False,
        spent_counter: int = 0,
    ) -> list[Action]:
        """Make the next report: kept first, sent after (law 9).

        Raises:
            MisuseError: the chain has ended.
        """
        if self.ended:
            raise MisuseError("a report after the last one", code="gate.chain.ended")
        covered_ms = min([chip.covered_until_ms for chip in chips], default=now.elapsed_ms)
        end_ms = min(max(self.interval_start_ms, covered_ms), now.elapsed_ms)
        self.lanes = tuple([lane_report(lane) for lane in lanes])
        keep = build_report(
            self._settings,
            sequence=self.sequence + 1,
            previous=self.head,
            interval=(self.interval_start_ms, end_ms),
            lanes=self.lanes,
            chips=chips,
            authorities=authorities,
            findings=findings,
            running_ms=running_ms,
            topology=self.topology.due(),
            request=request,
            final=final,
            now=now,
            spent_counter=spent_counter,
        )
        self.ended = final
        self.sequence, self.head = keep.sequence, keep.digest
        self.interval_ms = end_ms - self.interval_start_ms
        self.interval_start_ms = end_ms
        self.reported_ms = now.elapsed_ms
        self.overdue = False
        self.sent[keep.digest] = make_sent(
            sequence=keep.sequence,
            made_ms=now.elapsed_ms,
            allotted={lane.workload: lane.book.allotted_tflop for lane in lanes},
            # A license comes in a file: an answer to the report that asks for one acknowledges.
            asked=request is not None and request.license is None,
            run_nonce=self._settings.run_nonce,
        )
        while len(self.sent) > SENT_MAX:
            del self.sent[next(iter(self.sent))]
        if request is not None and request.license is None:
            self.requests[keep.digest] = keep.envelope
        while len(self.requests) > REQUESTS_MAX:
            del self.requests[next(iter(self.requests))]
        return [keep, make_send_report(sequence=keep.sequence)]

    def overtake(self, ruled_sequence: int) -> None:
        """Answers of all authorities to this request or newer ones rule: older ones never will."""
        while len(self.requests) > REQUESTS_LEFT:
            digest = next(iter(self.requests))
            sent = self.sent.get(digest)
            if sent is not None and sent.sequence >= ruled_sequence:
                break
            del self.requests[digest]

    def own(self) -> Own:
        """What other hosts are held against."""
        return Own(self.topology.known, self.lanes, self.interval_ms)

    def forget(self, needless_sequence: int) -> None:
        """Drop what no authority has needed for a while; answers may still name the rest."""
        oldest = needless_sequence - STILL_NAMED
        while self.sent:
            digest, sent = next(iter(self.sent.items()))
            if sent.sequence >= oldest:
                break
            del self.sent[digest]
