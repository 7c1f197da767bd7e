"""Licenses given back, lost at starts, asked for beyond measure, and denied over reboots."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopgate_agent.gate.carrying import kept_of
from flopgate_proto.codec import decode_report
from flopgate_proto.errors import MisdirectedError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import LicenseWish, Refusal, Verdict
from flopgate_proto.values.common import LaneState
from tests.support.fixed import WORKLOAD
from tests.support.gate_license_rig import LicenseRig, issue
from tests.support.gate_rig import at_once, cut


@pytest.fixture
def rig(tmp_path: Path) -> LicenseRig:
    return LicenseRig(tmp_path)


def test_law_2_a_floor_that_was_quoted_is_kept_while_what_is_given_back_winds_down(
    rig: LicenseRig,
) -> None:
    rig.licensed(headroom_tflop=200_000)
    rig.run_until(LaneState.RUNNING)
    rig.run(20_000)
    second = issue(rig.authority, rig.request(), headroom_tflop=300_000)
    asked = rig.core.chain.sequence
    rig.give_back()
    rig.run(1_000)
    assert rig.state is LaneState.WINDING_DOWN
    told = decode_report(rig.reports[-1].payload).quotes[0].license
    assert told is not None
    assert told.floor >= asked, "its authority frees what is held for the second one"
    with pytest.raises(MisdirectedError) as error:
        rig.install(second)
    assert error.value.code == "license.request"


def test_law_5_starts_that_reserve_nothing_lose_nothing_more(rig: LicenseRig) -> None:
    rig.licensed(headroom_tflop=10**6)
    rig.run(20_000)
    rig.order(rig.authority.pause())
    rig.run(10_000)
    left_tflop = list[int]()
    for _ in range(4):
        rig.again(boot=True)
        desk = rig.core.authorities[rig.authority.name].desk
        end_tflop = desk.bound_tflop(WORKLOAD, reserved=False)
        assert end_tflop is not None
        left_tflop.append(end_tflop - rig.lane.book.allotted_tflop)
        rig.request()
    assert left_tflop == [left_tflop[0]] * 4


def test_a_wish_beyond_measure_is_cut_to_what_a_field_takes(rig: LicenseRig) -> None:
    wish = LicenseWish(span_ms=COUNT_MAX, reserve=False)
    rig.carry_out(rig.core.ask_license(wish, rig.now))
    asked = decode_report(rig.reports[-1].payload).request
    assert asked is not None
    assert asked.lanes[0].headroom_tflop == COUNT_MAX


def told_by_link(rig: LicenseRig) -> str:
    """The link is up, and cut again before the host reboots; why its lane stands afterwards."""
    rig.network = at_once
    rig.run(30_000)
    assert rig.state is LaneState.HALTED
    rig.network = cut
    rig.again(boot=True)
    since_ms = rig.now_ms
    rig.run(20_000)
    assert not rig.work_since(since_ms + 5_000)
    return "" if rig.lane.why is None else rig.lane.why.reason


def test_a_refusal_newer_than_the_license_denies_after_a_reboot_too(rig: LicenseRig) -> None:
    rig.licensed(headroom_tflop=10**6)
    rig.run(20_000)
    refusal = Refusal(reason="workload.tier", detail="too much", way_back="Ask officers.")
    rig.authority.refuses[WORKLOAD] = Verdict(workload=WORKLOAD, outcome=refusal)
    assert told_by_link(rig) == "workload.tier"
    # The next license was given with that refusal known.
    rig.licensed(headroom_tflop=10**6)
    rig.run_until(LaneState.RUNNING)
    rig.again(boot=True)
    rig.run_until(LaneState.RUNNING)


def test_law_6_a_pause_that_was_named_and_withheld_denies_after_a_reboot_too(
    rig: LicenseRig,
) -> None:
    rig.licensed(headroom_tflop=10**6)
    rig.run(20_000)
    pause = rig.authority.pause()
    rig.authority.pauses = (pause.digest,)
    assert told_by_link(rig) == "pause.unseen"
    rig.order(pause)
    rig.order(rig.authority.resume(pause.digest))
    rig.run_until(LaneState.RUNNING)
    rig.again(boot=True)
    rig.run_until(LaneState.RUNNING)


def test_an_upgrade_brings_back_no_refusal_that_is_older_than_the_license(rig: LicenseRig) -> None:
    refusal = Refusal(reason="budget.spent", detail="nothing left", way_back="Ask later.")
    rig.authority.refuses[WORKLOAD] = Verdict(workload=WORKLOAD, outcome=refusal)
    rig.network = at_once
    rig.run(30_000)
    rig.network = cut
    rig.licensed(headroom_tflop=10**6)
    rig.run_until(LaneState.RUNNING)
    kept = kept_of(rig.core)
    assert kept.answers
    rig.again()
    assert not rig.core.carry_over(kept)
    rig.run(2_000)
    assert rig.state is LaneState.RUNNING


def test_law_10_an_orderly_stop_does_not_look_as_if_an_older_disk_was_put_back(
    rig: LicenseRig,
) -> None:
    rig.licensed(headroom_tflop=10**6)
    rig.run_until(LaneState.RUNNING)
    rig.run(20_000)
    rig.order(rig.authority.pause())
    rig.run_until(LaneState.HALTED)
    reserved_ms = rig.core.authorities[rig.authority.name].desk.standing.used_ms
    rig.carry_out(rig.core.settle_reserved(rig.now))
    assert rig.core.authorities[rig.authority.name].desk.standing.used_ms < reserved_ms
    rig.again().run(60_000)
    quotes = [one for report in rig.reports for one in decode_report(report.payload).quotes]
    used_ms = [one.license.used_ms for one in quotes if one.license is not None]
    assert used_ms == sorted(used_ms)
