"""Findings are bounded, and no text of the host's can make a report unreadable."""

from __future__ import annotations

import pytest

from flopgate_agent.gate.findings import FindingLog
from flopgate_proto.codec import decode_report
from flopgate_proto.limits import FINDINGS_MAX
from flopgate_proto.values import Severity
from tests.support.gate_rig import running


@pytest.mark.parametrize("detail", ["x" * 1000, "\u00e4" * 1000, "a\nb\x00c\u202e", "\ud800"])
def test_any_detail_gives_a_report_that_can_be_read(detail: str) -> None:
    rig = running()
    rig.core.findings.add("test.finding", Severity.WARNING, subject=detail, detail=detail)
    rig.run(10_000)
    ids = [one.id for sent in rig.reports for one in decode_report(sent.payload).findings]
    assert "test.finding" in ids


def test_a_finding_stands_once_with_its_count_and_its_worst_severity() -> None:
    log = FindingLog()
    log.add("a", Severity.ALERT, subject="x", detail="first")
    log.add("a", Severity.INFO, subject="x", detail="second")
    log.add("a", Severity.INFO, subject="y", detail="other")
    found = log.drain()
    assert [(one.subject, one.severity, one.detail) for one in found] == [
        ("x", Severity.ALERT, "2 times; second"),
        ("y", Severity.INFO, "other"),
    ]
    assert log.drain() == ()


def test_what_does_not_fit_is_counted() -> None:
    log = FindingLog()
    for number in range(FINDINGS_MAX + 5):
        log.add("a", Severity.INFO, subject=str(number))
    found = log.drain()
    assert len(found) == FINDINGS_MAX
    assert found[-1].id == "findings.dropped"
    assert found[-1].detail.startswith("6 ")


def test_each_start_tells_how_the_counters_count() -> None:
    rig = running()
    rig.run(120_000)
    told = [
        one
        for sent in rig.reports
        for one in decode_report(sent.payload).findings
        if one.id == "meter.counter.calibrated"
    ]
    assert {one.subject for one in told} == {chip.identity.uuid for chip in rig.core.settings.chips}
    assert len(told) == len(rig.core.settings.chips)
    assert all(one.severity is Severity.INFO for one in told)
    assert all(one.detail.startswith("sms_per_count=") for one in told)
