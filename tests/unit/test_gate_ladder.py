"""Which rungs of the ladder the core asks for, when, and when it takes them back."""

from dataclasses import replace

import pytest

from flopgate_agent.gate.actions import Deny, Freeze, Kill, Notify, Restore, Slow, Thaw
from flopgate_agent.gate.leasing import Leasing
from flopgate_agent.gate.settings import LaneSetting
from flopgate_agent.gate_process.snapshot import snapshot
from flopgate_proto.codec import decode_report
from flopgate_proto.values import LaneState
from tests.support.fixed import WORKLOAD
from tests.support.gate_rig import GateRig, at_once, cut, running

MOVES = Deny | Slow | Restore | Freeze | Thaw | Kill | Notify


def moves(rig: GateRig) -> list[str]:
    return [type(action).__name__ for _, action in rig.actions if isinstance(action, MOVES)]


def since(rig: GateRig, before: int) -> list[str]:
    return moves(rig)[before:]


def test_a_fresh_gate_denies_before_it_freezes_and_restores_before_it_thaws() -> None:
    rig = running()
    assert moves(rig)[:2] == ["Deny", "Freeze"]
    assert moves(rig)[-2:] == ["Restore", "Thaw"]
    assert moves(rig).count("Deny") == moves(rig).count("Restore") == 1


def test_a_host_that_nobody_admitted_gets_back_what_a_gate_before_took_from_it() -> None:
    rig = GateRig().run(5_000)
    assert moves(rig) == ["Restore", "Thaw"], "once"
    rig.restart().run(5_000)
    assert moves(rig) == ["Restore", "Thaw"] * 2
    before = len(moves(rig))
    rig.hardware.start(pid=100)
    rig.enrol()
    assert since(rig, before)[0] == "Deny", "from here on it is ruled"


def test_a_wind_down_denies_and_the_clocks_stay_until_all_stands() -> None:
    rig = running()
    before = len(moves(rig))
    rig.network = cut
    rig.run_until(LaneState.HALTED)
    assert since(rig, before) == ["Deny", "Notify", "Freeze", "Slow"]


def test_a_renewal_in_the_wind_down_takes_the_denial_back() -> None:
    rig = running()
    rig.network = cut
    rig.run_until(LaneState.WINDING_DOWN)
    before = len(moves(rig))
    asked = [report for report in rig.reports if decode_report(report.payload).request]
    rig.answer(rig.authority.answer(asked[-1]))
    assert since(rig, before) == ["Restore"]
    restore = rig.done(Restore)[-1]
    assert isinstance(restore, Restore)
    assert restore.until_ms > rig.now_ms


def test_what_must_be_killed_is_slowed_first() -> None:
    rig = running()
    rig.hardware.jobs[0].drain_ms = None
    before = len(moves(rig))
    rig.network = cut
    rig.run_until(LaneState.HALTED)
    assert since(rig, before)[:5] == ["Deny", "Notify", "Freeze", "Slow", "Kill"]
    assert since(rig, before).count("Slow") == 1


def test_rungs_that_a_failed_keep_voided_are_asked_for_again() -> None:
    rig = running()
    rig.network = cut
    rig.run_until(LaneState.WINDING_DOWN)
    rig.lane.lose_hold()
    before = len(moves(rig))
    rig.run_until(LaneState.FROZEN)
    assert since(rig, before) == ["Deny", "Freeze"]


def test_the_next_gate_says_anew_what_is_to_stand() -> None:
    rig = running()
    rig.network = cut
    rig.run_until(LaneState.HALTED)
    before = len(moves(rig))
    rig.restart()
    rig.run_until(LaneState.HALTED)
    assert since(rig, before)[:1] == ["Deny"]
    assert "Slow" in since(rig, before)
    rig.network = at_once
    before = len(moves(rig))
    rig.run_until(LaneState.RUNNING)
    assert since(rig, before) == ["Restore", "Thaw"]


def test_a_lane_of_an_earlier_configuration_has_nothing_to_be_denied_or_shown() -> None:
    rig = running().run(3_000)
    rig.settings = replace(rig.settings, lanes=(LaneSetting(workload="other", chips=(0,)),))
    before = len(rig.actions)
    rig.restart().run_until(LaneState.RUNNING).run(3_000)
    rungs = [one for _, one in rig.actions[before:] if isinstance(one, Deny | Slow | Restore)]
    assert {one.workload for one in rungs} == {"other"}
    terms = Leasing(()).terms(rig.core)
    assert terms is not None
    assert [one.workload for one in terms.lanes] == ["other"]
    assert [lane.workload for lane in snapshot(rig.core).lanes] == ["other"]
    assert {lane.workload for lane in rig.last_report().lanes} == {WORKLOAD, "other"}


@pytest.mark.parametrize("first", ["a look", "a moment"])
def test_what_a_renamed_lane_holds_is_held_by_its_heir_before_it_is_let_go(first: str) -> None:
    """Also where the heir was frozen before the first look, at which all stood."""
    rig = running()
    rig.order(rig.authority.pause(emergency=True))
    rig.run_until(LaneState.HALTED)
    (lane,) = rig.settings.lanes
    rig.settings = replace(rig.settings, lanes=(replace(lane, workload="renamed"),))
    before = len(rig.actions)
    rig.restart()
    if first == "a moment":
        rig.carry_out(rig.core.handle_timer(rig.now))
        rig.pass_time(rig.now_ms + 20)
    rig.run(10_000)
    done = [action for _, action in rig.actions[before:]]
    thaws = [at for at, action in enumerate(done) if isinstance(action, Thaw)]
    assert [done[at].workload for at in thaws] == [lane.workload], "once"  # type: ignore[union-attr]
    held = [one for one in done[: thaws[0]] if isinstance(one, Freeze) and one.pids]
    assert {one.workload for one in held} == {"renamed"}


def test_what_a_removed_lane_holds_stays_held_while_nobody_has_its_chips() -> None:
    rig = running()
    rig.order(rig.authority.pause(emergency=True))
    rig.run_until(LaneState.HALTED)
    rig.settings = replace(rig.settings, lanes=())
    before = len(rig.actions)
    rig.restart().run(10_000)
    assert not [one for _, one in rig.actions[before:] if isinstance(one, Thaw | Restore)]
