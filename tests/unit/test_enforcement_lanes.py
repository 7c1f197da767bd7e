"""The record of what is held: written, read again, and never trusted blindly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from flopgate_agent.enforcement import Action, EnforcementFinding, FindingId, Outcome
from flopgate_agent.enforcement.calls import MAX_FINDINGS, Notes
from flopgate_agent.enforcement.lanes import (
    Journal,
    JournalError,
    LaneRecord,
    check_lane_id,
    decode,
    encode,
)
from flopgate_agent.enforcement.processes import ProcessId
from flopgate_proto.values import Severity

A, B = ProcessId(pid=10, start_ticks=100), ProcessId(pid=11, start_ticks=101)


def record() -> LaneRecord:
    return LaneRecord(
        lane_id="lane",
        held={A, B},
        origins={A: "/job/1"},
        in_place={"/job/2": True, "/job/3": False},
        stopped={B: True},
    )


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    Journal(tmp_path / "s", "boot").save(record())
    assert Journal(tmp_path / "s", "boot").load("lane") == record()
    assert Journal(tmp_path / "s", "boot").lane_ids() == ("lane",)


def test_a_record_of_another_boot_is_ignored(tmp_path: Path) -> None:
    Journal(tmp_path, "boot").save(record())
    assert Journal(tmp_path, "other").load("lane") is None


def test_a_forgotten_lane_leaves_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "boot")
    journal.save(record())
    journal.write_notice("lane", 5)
    journal.forget("lane")
    assert list(tmp_path.iterdir()) == []
    journal.save(record())  # written again although unchanged since the last save
    assert journal.load("lane") == record()


def test_only_the_gate_reads_records_and_everyone_reads_notices(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state", "boot", tmp_path)
    # As the gate's unit has it.
    umask = os.umask(0o077)
    try:
        journal.save(record())
        journal.write_notice("lane", 123)
    finally:
        os.umask(umask)
    assert (tmp_path / "state" / "lane.lane.json").stat().st_mode & 0o077 == 0
    assert journal.notice_path("lane").parent == tmp_path
    assert journal.notice_path("lane").stat().st_mode & 0o777 == 0o644
    assert json.loads(journal.notice_path("lane").read_text()) == {
        "lane_id": "lane",
        "deadline_boottime_ms": 123,
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2),
        ("held", [[0, 1]]),
        ("held", [["10", 1]]),
        ("held", [[True, 1]]),
        ("held", [[2**40, 1]]),
        ("held", [[10]]),
        ("origins", [[10, 100, "/a/../../etc"]]),
        ("in_place", [["relative", True]]),
        ("in_place", [["/\x00", True]]),
        ("stopped", None),
    ],
)
def test_a_damaged_field_is_refused(key: str, value: object) -> None:
    document = json.loads(encode(record(), "boot"))
    assert decode(json.dumps(document).encode(), "lane", "boot") == record()
    document[key] = value
    with pytest.raises(JournalError):
        decode(json.dumps(document).encode(), "lane", "boot")


def test_pruning_keeps_origins_for_orphans() -> None:
    lane = record()
    lane.prune(frozenset({A}))
    assert (lane.held, lane.stopped) == ({A}, {})
    assert lane.origins == {A: "/job/1"}


@pytest.mark.parametrize("lane_id", ["", ".", "..", "a/b", "cgroup.procs", "a b", "x" * 65, "a\n"])
def test_a_lane_id_cannot_name_another_file(lane_id: str) -> None:
    with pytest.raises(ValueError, match="lane id"):
        check_lane_id(lane_id)


def test_findings_are_told_once_and_bounded() -> None:
    notes = Notes()
    notes.add(FindingId.PID_REUSED, "first", pid=1)
    notes.add(FindingId.PID_REUSED, "second", pid=1)
    assert [finding.detail for finding in notes.findings()] == ["first"]
    for pid in range(2 * MAX_FINDINGS):
        notes.add(FindingId.PID_REUSED, "many", pid=pid)
    assert len(notes.findings()) == MAX_FINDINGS


@pytest.mark.parametrize(
    ("resisted", "found", "complete"),
    [
        ((), FindingId.PID_REUSED, True),
        ((7,), FindingId.PID_REUSED, False),
        ((), FindingId.DEADLINE, False),
    ],
)
def test_complete_means_nobody_resisted_and_the_call_ran_to_its_end(
    resisted: tuple[int, ...], found: FindingId, *, complete: bool
) -> None:
    finding = EnforcementFinding(id=found, severity=Severity.INFO, pid=None, detail="")
    outcome = Outcome(
        lane_id="lane",
        action=Action.FREEZE,
        mechanisms=(),
        done=(),
        resisted=resisted,
        refused=(),
        findings=(finding,),
        elapsed_us=0,
    )
    assert outcome.complete is complete
