"""What the next report of a chain may say, and what its totals are held against."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_governor.core.account import ROUNDING_TFLOP, unbooked_tflop
from flopgate_governor.core.chain import check_continuity, place
from flopgate_governor.core.facts import LaneFacts
from flopgate_proto.errors import HistoryError, MalformedError
from flopgate_proto.values import ChargedFigure, Figures
from tests.support.governor import FakeHost
from tests.support.host_facts import facts


def test_law_4_the_report_at_which_a_host_joined_is_no_other_history() -> None:
    """It went to another authority, and is not on record here: no evidence against anybody."""
    host = FakeHost(1, sequence=4)
    joined_at = host.value()
    assert joined_at.sequence == 5
    with pytest.raises(MalformedError, match=r"report\.before-enrolment"):
        place(joined_at, bytes(32), facts(host, 5), None)
    with pytest.raises(HistoryError, match=r"report\.forked"):
        place(joined_at, bytes(32), facts(host, 4), None)


@pytest.mark.parametrize("figure", ["low_tflop", "nominal_tflop", "high_tflop"])
def test_law_4_no_figure_of_a_total_goes_back(figure: str) -> None:
    host = FakeHost(1, chips=0, unaccounted_tflop=50)
    report = host.value()
    known = Figures(low_tflop=50, nominal_tflop=50, high_tflop=50)
    lane = LaneFacts(workload=host.workload, total=known)
    check_continuity(report, facts(host, 0), {host.workload: lane})
    more = replace(lane, total=replace(known, **{figure: 51}))
    with pytest.raises(HistoryError, match=r"report\.backwards"):
        check_continuity(report, facts(host, 0), {host.workload: more})


@pytest.mark.parametrize(
    ("figure", "missing_tflop"),
    [(ChargedFigure.LOW, 60), (ChargedFigure.NOMINAL, 100), (ChargedFigure.HIGH, 100)],
)
def test_law_3_totals_are_held_against_the_figure_that_is_charged(
    figure: ChargedFigure, missing_tflop: int
) -> None:
    host = FakeHost(1)
    (lane,) = host.value().lanes
    grown = replace(lane, total=Figures(low_tflop=60, nominal_tflop=100, high_tflop=200))
    assert unbooked_tflop(LaneFacts(workload=host.workload), grown, figure) == missing_tflop
    booked = replace(grown, unaccounted_tflop=missing_tflop - ROUNDING_TFLOP)
    assert unbooked_tflop(LaneFacts(workload=host.workload), booked, figure) == 0
