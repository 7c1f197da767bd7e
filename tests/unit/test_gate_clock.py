"""A wall clock that steps is a finding (law 8); drift, a leap second and a suspend are none."""

import pytest

from flopgate_agent.gate.clock import WALL_STEPPED, HostClock
from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.settings import Now
from flopgate_proto.codec import decode_report
from flopgate_proto.errors import ClockError
from flopgate_proto.values import Finding, LaneState, Severity
from tests.support.gate_rig import GateRig, running

WALL = 1_700_000_000_000
HOUR_MS = 3_600_000


class Watched:
    """A clock that is told pairs of elapsed time and what the wall clock moved beside it."""

    def __init__(self) -> None:
        self.findings = FindingLog()
        first = Now(elapsed_ms=0, wall_unix_ms=WALL)
        self.clock = HostClock(first, lambda: 0, self.findings)

    def tell(self, elapsed_ms: int, ahead_ms: int) -> "Watched":
        self.clock.advance(Now(elapsed_ms=elapsed_ms, wall_unix_ms=WALL + elapsed_ms + ahead_ms))
        return self

    @property
    def found(self) -> list[Finding]:
        return list(self.findings.drain())


@pytest.mark.parametrize("ahead_ms", [-86_400_000, -1_101, 1_101, 7_200_000])
def test_law_8_a_step_is_one_finding_with_its_numbers(ahead_ms: int) -> None:
    watched = Watched().tell(200_000, 0).tell(201_000, ahead_ms).tell(400_000, ahead_ms)
    (found,) = watched.found
    assert (found.id, found.severity) == (WALL_STEPPED, Severity.WARNING)
    assert found.detail == f"moved_ms={ahead_ms} elapsed_ms=201000"
    assert not watched.tell(500_000, ahead_ms).found


def test_two_steps_are_counted() -> None:
    (found,) = Watched().tell(1_000, 5_000).tell(2_000, 0).found
    assert found.detail == "2 times; moved_ms=-5000 elapsed_ms=1000"


@pytest.mark.parametrize("sign", [-1, 1])
def test_drift_of_500_ppm_and_a_leap_second_are_no_step(sign: int) -> None:
    watched = Watched()
    for minute in range(1, 48 * 60):
        drift_ms = minute * 30
        watched.tell(minute * 60_000, sign * (drift_ms + (1_000 if minute > 90 else 0)))
    assert not watched.found


def test_a_week_asleep_is_no_step() -> None:
    """Elapsed time has the suspend in it, and the wall clock drifted meanwhile."""
    assert not Watched().tell(1_000, 0).tell(7 * 24 * HOUR_MS, 300_000).found


def test_a_clock_that_is_moved_bit_by_bit_is_found_within_the_hour() -> None:
    watched = Watched()
    for second in range(1, 3_600):
        watched.tell(second * 1_000, second * 2)
    assert len(watched.found) == 1


def test_a_boot_clock_that_went_back_leaves_nothing_to_compare_with() -> None:
    watched = Watched().tell(10_000, 0)
    with pytest.raises(ClockError):
        watched.tell(4_000, 0)
    watched.tell(5_000, 0)
    assert not watched.found
    assert watched.tell(6_000, 9_000).found


def steps(rig: GateRig) -> list[str]:
    reports = [decode_report(sent.payload) for sent in rig.reports]
    found = [one for report in reports for one in report.findings]
    return [one.detail for one in found if one.id == WALL_STEPPED]


def test_law_8_a_wall_clock_that_steps_is_in_the_next_report_and_stops_nothing() -> None:
    rig = running()
    rig.wall_unix_ms -= HOUR_MS
    rig.run(300_000)
    assert len(steps(rig)) == 1
    assert rig.lane.state is LaneState.RUNNING


def test_law_8_a_step_while_no_gate_ran_is_found_by_the_next() -> None:
    rig = running()
    rig.wall_unix_ms += HOUR_MS
    rig.restart(away_ms=10_000)
    rig.run(300_000)
    assert len(steps(rig)) == 1
