"""When reports tell the topology, and that a change of it is told."""

from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.reports.topology import HostTopology
from flopgate_proto.codec import decode_report
from flopgate_proto.values import Report, Severity, Topology
from tests.support.gate_rig import GateRig, running
from tests.support.statements import topology

SEEN = topology()
MOVED = topology(fabric_cluster_uuid=bytes(range(16)))


def take(rig: GateRig, seen: Topology) -> None:
    rig.core.chain.topology.take(seen, rig.core.findings)


def after(rig: GateRig, span_ms: int = 30_000) -> list[Report]:
    """Reports of the next span."""
    before = len(rig.reports)
    rig.run(span_ms)
    return [decode_report(envelope.payload) for envelope in rig.reports[before:]]


def findings(reports: list[Report]) -> list[str]:
    found = [finding for report in reports for finding in report.findings]
    return [f"{one.id} {one.detail}" for one in found if one.id.startswith("topology")]


def test_it_is_told_once_when_it_was_read() -> None:
    rig = running()
    assert {report.topology for report in after(rig)} == {None}
    take(rig, SEEN)
    first, *later = after(rig)
    assert first.topology == SEEN
    assert {report.topology for report in later} == {None}
    assert findings([first, *later]) == []


def test_what_did_not_change_is_not_told_again() -> None:
    rig = running()
    take(rig, SEEN)
    after(rig)
    take(rig, topology())
    assert {report.topology for report in after(rig)} == {None}


def test_a_change_is_told_whole_and_as_a_finding() -> None:
    rig = running()
    take(rig, SEEN)
    after(rig)
    take(rig, MOVED)
    reports = after(rig)
    assert [report.topology for report in reports if report.topology] == [MOVED]
    assert findings(reports) == ["topology.changed entries that came or went: chips=2 ports=0"]


def test_a_new_run_tells_it_anew() -> None:
    rig = running()
    take(rig, SEEN)
    after(rig)
    rig.restart()
    take(rig, SEEN)
    reports = after(rig)
    assert [report.topology for report in reports if report.topology] == [SEEN]
    assert findings(reports) == []


def test_an_authority_that_joins_later_is_told_it() -> None:
    known, findings_ = HostTopology(), FindingLog()
    assert known.due() is None
    known.owe()
    assert known.due() is None
    known.take(SEEN, findings_)
    assert (known.due(), known.due()) == (SEEN, None)
    known.owe()
    assert (known.due(), known.due()) == (SEEN, None)


def test_the_report_after_an_admission_tells_it() -> None:
    rig = GateRig()
    take(rig, SEEN)
    rig.enrol()
    reports = [decode_report(envelope.payload) for envelope in rig.reports]
    reports += after(rig)
    told = [report.sequence for report in reports if report.topology == SEEN]
    # The report that the enrolment stands on, and the first that the authority answers.
    assert told == [1, 2]


def test_changes_between_two_reports_are_one_finding() -> None:
    known, log = HostTopology(), FindingLog()
    for seen in (SEEN, MOVED, SEEN):
        known.take(seen, log)
    (finding,) = log.drain()
    assert (finding.id, finding.severity) == ("topology.changed", Severity.INFO)
    assert finding.detail.startswith("2 times; ")
