"""A gate that runs on a license: law 5, and laws 1, 6 and 8 of what a license lets run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from flopgate_agent.gate.actions import Action, KeepLicenses, Thaw
from flopgate_proto.errors import HistoryError, StorageError
from flopgate_proto.values import LicenseState
from flopgate_proto.values.common import LaneState
from flopgate_sim.world.hardware.tpm import FakeTpm
from tests.support.fixed import WORKLOAD
from tests.support.gate_license_rig import (
    HOUR_MS,
    LICENSES,
    SPAN_MS,
    STEP_MS,
    KilledError,
    LicenseRig,
    approve,
    issue,
)
from tests.support.gate_rig import at_once

STEP_TFLOP = 2_376 * STEP_MS // 1000
"""At the peak that an H100 is held to; what these do is less than half of it."""
STOP_TFLOP = 2_376 * 20
"""More than is left for an orderly stop."""


@pytest.fixture(params=["software", "tpm"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> LicenseRig:
    return LicenseRig(tmp_path, tpm=FakeTpm() if request.param == "tpm" else None)


def quoted(rig: LicenseRig) -> LicenseState | None:
    """What the newest report says of the license."""
    found = rig.last_report().quotes[0].license
    return None if found is None else found.state


def reason(rig: LicenseRig) -> str:
    """Why the lane stands."""
    return "" if rig.lane.why is None else rig.lane.why.reason


def test_law_5_a_license_runs_within_its_budget_and_then_stops(rig: LicenseRig) -> None:
    before_tflop = rig.truth_tflop
    rig.licensed(headroom_tflop=200_000)
    rig.run(SPAN_MS)
    assert rig.state is LaneState.HALTED
    assert reason(rig) == "license.used-up"
    assert rig.lane.why is not None
    assert rig.lane.why.authority == rig.authority.name
    assert rig.lane.why.way_back
    assert 150_000 < rig.truth_tflop - before_tflop <= 200_000
    assert quoted(rig) is LicenseState.NONE
    assert rig.lane.book.unaccounted_tflop < 2_000


def test_law_5_a_license_runs_within_its_span_of_running_time(rig: LicenseRig) -> None:
    rig.licensed(headroom_tflop=5_000_000)
    start_ms = rig.now_ms
    rig.run(2 * SPAN_MS)
    assert rig.state is LaneState.HALTED
    last_ms = rig.hardware.last_work_ms[0]
    assert last_ms is not None
    assert SPAN_MS - STEP_MS < last_ms - start_ms <= SPAN_MS


def test_law_5_time_in_which_nothing_may_run_is_not_spent(rig: LicenseRig) -> None:
    rig.licensed(headroom_tflop=5_000_000)
    rig.run(30_000)
    pause = rig.authority.pause(emergency=True)
    rig.order(pause)
    rig.run(2 * SPAN_MS)
    rig.order(rig.authority.resume(pause.digest))
    desk = rig.core.authorities[rig.authority.name].desk
    assert 25_000 <= desk.used_ms <= 35_000


def test_law_5_a_reboot_costs_at_most_one_step_and_the_license_goes_on(rig: LicenseRig) -> None:
    before_tflop = rig.truth_tflop
    rig.licensed(headroom_tflop=300_000)
    rig.run(20_000)
    rig.again(boot=True)
    rig.run_until(LaneState.RUNNING)
    rig.run(SPAN_MS)
    assert rig.state is LaneState.HALTED
    used_tflop = rig.truth_tflop - before_tflop
    assert 300_000 - STEP_TFLOP - STOP_TFLOP < used_tflop <= 300_000


def test_an_upgrade_under_a_running_job_stops_nothing(rig: LicenseRig) -> None:
    rig.licensed()
    rig.run(45_000)
    frozen = len(rig.actions)
    rig.again(away_ms=1_000)
    rig.run(5_000)
    assert rig.state is LaneState.RUNNING
    held = [type(one).__name__ for _, one in rig.actions[frozen:]]
    assert "Freeze" not in held
    assert "KeepLicenses" in held
    assert rig.lane.book.unaccounted_tflop < 2_000


def test_law_5_a_crash_costs_at_most_one_step(rig: LicenseRig) -> None:
    before_tflop = rig.truth_tflop
    rig.licensed(headroom_tflop=500_000)
    for _ in range(2):
        rig.run(15_000)
        rig.again(away_ms=100)
    rig.run(SPAN_MS)
    used_tflop = rig.truth_tflop - before_tflop
    assert 500_000 - 2 * STEP_TFLOP - STOP_TFLOP < used_tflop <= 500_000


def test_law_5_a_step_counts_from_what_was_reported(
    rig: LicenseRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate that dies before its next report loses that much and no more."""
    carry_out, at_stake_tflop = rig.carry_out, []

    def watched(actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, KeepLicenses) and rig.state is LaneState.RUNNING:
                (share,) = (
                    rig.core.authorities[rig.authority.name].desk.standing.shares or {}
                ).values()
                (durable,) = rig.last_report().lanes
                at_stake_tflop.append(share.reserved_tflop - durable.allotted_tflop)
            carry_out([action])

    rig.licensed(headroom_tflop=500_000)
    monkeypatch.setattr(rig, "carry_out", watched)
    rig.run(SPAN_MS)
    assert len(at_stake_tflop) > 3
    assert max(at_stake_tflop) <= STEP_TFLOP


@pytest.mark.parametrize("where", ["before", "after", "stepped"])
def test_law_5_killed_at_each_instruction_of_a_reservation(rig: LicenseRig, where: str) -> None:
    before_tflop = rig.truth_tflop
    rig.licensed(headroom_tflop=500_000)
    rig.dies = where
    with pytest.raises(KilledError):
        rig.run(SPAN_MS)
    ran_tflop = rig.truth_tflop - before_tflop
    assert ran_tflop > 10_000, "the first step runs"
    rig.again(away_ms=0)
    if isinstance(rig.tpm, FakeTpm):
        stored = rig.ledger.load().licenses
        assert stored is not None
        assert stored.number == rig.tpm.reservations
    rig.run(2 * SPAN_MS)
    used_tflop = rig.truth_tflop - before_tflop
    assert 500_000 - 2 * STEP_TFLOP - STOP_TFLOP < used_tflop <= 500_000


def test_nothing_runs_before_its_reservation_is_durable(rig: LicenseRig) -> None:
    found = issue(rig.authority, rig.request())
    before_tflop = rig.truth_tflop
    rig.dies = "before"
    with pytest.raises(KilledError):
        rig.install(found)
    rig.pass_time(rig.now_ms + 10_000)
    assert rig.truth_tflop == before_tflop


def test_law_8_a_disk_that_is_full_at_a_reservation_stops_and_gains_nothing(
    rig: LicenseRig,
) -> None:
    before_tflop = rig.truth_tflop
    rig.licensed(headroom_tflop=300_000)
    rig.dies = "full"
    rig.run(90_000)
    assert rig.state is LaneState.HALTED
    assert reason(rig) == "ledger.failed"
    ran_tflop = rig.truth_tflop - before_tflop
    assert ran_tflop <= STEP_TFLOP
    rig.run(10_000)
    rig.again()
    rig.run(2 * SPAN_MS)
    assert ran_tflop < rig.truth_tflop - before_tflop <= 300_000


def test_law_6_a_pause_beats_it_and_it_goes_on_after_the_resume(rig: LicenseRig) -> None:
    rig.licensed(headroom_tflop=10**6)
    rig.run(20_000)
    for _ in range(2):
        pause = rig.authority.pause()
        rig.order(pause)
        rig.run(20_000)
        assert reason(rig) == "pause.latched"
        since_ms = rig.now_ms
        rig.again()
        rig.run(60_000)
        assert not rig.work_since(since_ms)
        rig.order(rig.authority.resume(pause.digest))
        rig.run_until(LaneState.RUNNING)


def test_a_live_permit_comes_first_and_the_license_takes_over_without_a_stop(
    rig: LicenseRig,
) -> None:
    rig.licensed(headroom_tflop=2_000_000)
    rig.network = at_once
    rig.authority.terms = {"lifetime_ms": 60_000}
    rig.order(rig.authority.policy_order(**LICENSES, lifetime_ms=60_000))
    rig.run(15_000)
    desk = rig.core.authorities[rig.authority.name].desk
    assert not desk.in_use
    used_ms, actions = desk.used_ms, len(rig.actions)
    rig.network = lambda _authority, _report: None
    rig.run(60_000)
    assert rig.state is LaneState.RUNNING
    assert desk.used_ms > used_ms
    done = [type(one).__name__ for _, one in rig.actions[actions:]]
    assert "Freeze" not in done
    assert "Notify" not in done


def test_a_second_install_says_so_and_changes_nothing(rig: LicenseRig) -> None:
    found = rig.licensed()
    rig.run(100_000)
    standing = rig.core.authorities[rig.authority.name].desk.standing
    with pytest.raises(HistoryError) as error:
        rig.install(found)
    assert error.value.code == "license.installed"
    assert rig.core.authorities[rig.authority.name].desk.standing is standing


def test_of_two_licenses_the_newer_one_replaces_the_older(rig: LicenseRig) -> None:
    first = issue(rig.authority, rig.request(), headroom_tflop=1_000_000)
    second = issue(rig.authority, rig.request(), headroom_tflop=200_000)
    before_tflop = rig.truth_tflop
    rig.install(first)
    rig.run(30_000)
    rig.install(second)
    assert rig.state is LaneState.RUNNING
    with pytest.raises(HistoryError):
        rig.install(second)
    rig.run(2 * SPAN_MS)
    assert rig.truth_tflop - before_tflop <= 200_000
    with pytest.raises(Exception, match="over: used up") as error:
        rig.install(first)
    assert getattr(error.value, "code", "") == "license.request"


def test_what_is_given_back_is_not_installed_again(rig: LicenseRig) -> None:
    found = rig.licensed()
    rig.run(20_000)
    rig.give_back()
    rig.run(30_000)
    assert rig.state is LaneState.HALTED
    assert reason(rig) == "license.returned"
    assert quoted(rig) is LicenseState.NONE
    for start in (False, True):
        if start:
            rig.again()
        with pytest.raises(Exception, match="over: used up") as error:
            rig.install(found)
        assert getattr(error.value, "code", "") == "license.request"


def test_a_return_voids_what_was_asked_for_and_never_came(rig: LicenseRig) -> None:
    found = issue(rig.authority, rig.request())
    rig.give_back()
    rig.run(20_000)
    assert quoted(rig) is LicenseState.NONE
    with pytest.raises(Exception, match="did not make, or one that is over"):
        rig.install(found)


def test_what_came_late_is_installed_after_the_one_before_was_used_up(rig: LicenseRig) -> None:
    rig.licensed(headroom_tflop=100_000)
    following = issue(rig.authority, rig.request(), headroom_tflop=400_000)
    rig.run(SPAN_MS)
    assert reason(rig) == "license.used-up"
    rig.install(following)
    rig.run_until(LaneState.RUNNING)


def test_law_4_a_row_that_another_wrote_is_refused(rig: LicenseRig) -> None:
    rig.licensed()
    stored = rig.ledger.load().licenses
    assert stored is not None
    db = rig.ledger._db  # noqa: SLF001  # whoever has the disk
    db.execute("UPDATE license SET number=number+1")
    with pytest.raises(StorageError) as error:
        LicenseRig._new_core(rig)  # noqa: SLF001  # a start
    assert error.value.code == "ledger.damaged"


def test_a_retired_host_returns_its_license(rig: LicenseRig) -> None:
    rig.licensed()
    rig.run(20_000)
    rig.carry_out(rig.core.retire(rig.now))
    rig.run(30_000)
    assert rig.core.chain.ended
    assert quoted(rig) is LicenseState.NONE


@pytest.mark.parametrize("years", [-5, 5])
def test_a_wall_clock_that_is_wrong_by_years_changes_nothing(rig: LicenseRig, years: int) -> None:
    rig.wall_unix_ms += years * 365 * 24 * HOUR_MS
    before_tflop = rig.truth_tflop
    rig.licensed(headroom_tflop=200_000)
    rig.run(30_000)
    assert rig.state is LaneState.RUNNING
    rig.wall_unix_ms -= 2 * years * 365 * 24 * HOUR_MS
    rig.run(2 * SPAN_MS)
    assert 150_000 < rig.truth_tflop - before_tflop <= 200_000


def test_not_after_ends_it_by_the_time_that_the_gate_metered(rig: LicenseRig) -> None:
    told = rig.core.authorities[rig.authority.name].told_time
    assert told is not None
    end_ms = told.latest_unix_ms(rig.now_ms) + 100_000
    request = rig.request()
    rig.install(issue(rig.authority, request, approval=approve(request, not_after_unix_ms=end_ms)))
    start_ms = rig.now_ms
    rig.run(60_000)
    assert rig.state is LaneState.RUNNING
    rig.run(60_000)
    assert reason(rig) == "license.expired"
    assert not rig.work_since(start_ms + 100_000)
    assert WORKLOAD in rig.core.permissions


def test_not_before_waits_for_the_time_that_is_surely_there(rig: LicenseRig) -> None:
    told = rig.core.authorities[rig.authority.name].told_time
    assert told is not None
    begin_ms = told.earliest_unix_ms(rig.now_ms) + 60_000
    request = rig.request()
    found = issue(rig.authority, request, approval=approve(request, not_before_unix_ms=begin_ms))
    rig.install(found)
    start_ms = rig.now_ms
    rig.run(50_000)
    assert reason(rig) == "license.early"
    rig.run(20_000)
    assert rig.state is LaneState.RUNNING
    thawed_ms = max(at for at, one in rig.actions if isinstance(one, Thaw))
    assert thawed_ms >= start_ms + 60_000
