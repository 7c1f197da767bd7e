"""Law 8: what the gate cannot work without stops compute, and every stop says why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_agent.gate.actions import Freeze, KeepReport, Kill, Restore, Thaw
from flopgate_agent.gate.lanes.allowance import Denied
from flopgate_agent.gate.lanes.insisting import LOOKS_MIN, NEWCOMER_DRAIN_MS
from flopgate_agent.gate.settings import Now
from flopgate_proto.errors import ClockError
from flopgate_proto.keys import key_digest
from flopgate_proto.values import ChargedFigure, LaneState
from tests.support.fixed import HOST_ID, STRANGER_KEY, WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_hardware import h100
from tests.support.gate_rig import GateRig, cut, running


def why(rig: GateRig) -> Denied:
    """Why the first lane stands."""
    denied = rig.core.permissions[WORKLOAD]
    assert isinstance(denied, Denied)
    return denied


def test_law_8_a_gate_with_another_key_than_its_ledgers_says_so_and_signs_nothing() -> None:
    """The authority would refuse every report, and nobody would know why."""
    rig = running()
    made = len(rig.reports)
    rig.settings = replace(
        rig.settings,
        host_id=key_digest(STRANGER_KEY.spki),
        host_spki=STRANGER_KEY.spki,
        signer=STRANGER_KEY,
    )
    rig.restart().run(60_000)
    assert rig.state is LaneState.HALTED
    assert why(rig).reason == "key.replaced"
    assert HOST_ID.hex()[:16] in why(rig).detail
    assert len(rig.reports) == made


def test_law_8_silence_is_charged_at_once_and_stops_after_the_watchdog_time() -> None:
    rig = running().run(3_000)
    since_ms = rig.core.meter.covered_ms
    before = rig.lane.book.gap.nominal
    rig.silent = True
    stall_ms = rig.settings.stall_timeout_ms
    asked_ms = since_ms + rig.settings.sample_interval_ms
    rig.run(asked_ms + stall_ms + 1 - rig.now_ms)
    charged = rig.lane.book.gap.nominal - before
    assert charged >= h100().worst_nominal_flop_per_s * stall_ms // 1000
    assert rig.state is LaneState.RUNNING
    rig.run_until(LaneState.FROZEN)
    assert rig.now_ms - asked_ms <= rig.authority.policy.watchdog_ms + 5_001
    assert why(rig).reason == "driver.silent"


def test_law_8_counters_that_come_back_lift_the_fault() -> None:
    rig = running()
    rig.silent = True
    rig.run_until(LaneState.FROZEN)
    rig.silent = False
    rig.run_until(LaneState.RUNNING)
    assert not rig.core.has_fault("driver.silent")


def test_law_8_a_boot_clock_that_steps_back_stops_the_host() -> None:
    rig = running()
    back = Now(elapsed_ms=rig.core.elapsed_ms - 1, wall_unix_ms=0)
    with pytest.raises(ClockError) as error:
        rig.core.samples(rig.hardware.sample(), back)
    rig.carry_out(rig.core.fault(error.value.code, error.value.detail, error.value.remedy, back))
    assert rig.state is LaneState.FROZEN
    assert why(rig).reason == "clock.boot.backwards"
    assert rig.done(Freeze)[-1:] == [Freeze(workload=WORKLOAD, pids=(100,))]


def test_law_8_a_clock_an_hour_back_still_leads_to_the_kill() -> None:
    rig = GateRig()
    rig.hardware.start(pid=1, drain_ms=None)
    rig.enrol().run_until(LaneState.RUNNING)
    back = Now(elapsed_ms=rig.now_ms - 3_600_000, wall_unix_ms=0)
    with pytest.raises(ClockError):
        rig.core.handle_timer(back)
    rig.carry_out(rig.core.fault("clock.boot.backwards", "stepped back", "Restart.", back))
    drain_ms = rig.authority.policy.drain_ms
    assert rig.core.get_timer() <= back.elapsed_ms + drain_ms, "in the host's own time"
    later = replace(back, elapsed_ms=back.elapsed_ms + drain_ms)
    rig.carry_out(rig.core.handle_timer(later))
    assert rig.done(Kill)[-1:] == [Kill(workload=WORKLOAD, pids=(1,))]


def test_law_8_time_after_a_clock_step_is_charged() -> None:
    rig = running()
    total = rig.lane.book.total.nominal
    back = Now(elapsed_ms=rig.now_ms - 60_000, wall_unix_ms=0)
    with pytest.raises(ClockError):
        rig.core.samples(rig.hardware.sample(), back)
    later = replace(back, elapsed_ms=back.elapsed_ms + 2_000)
    rig.core.samples(rig.hardware.sample(), later)
    least = h100().worst_nominal_flop_per_s * 2
    assert rig.lane.book.total.nominal - total >= least


def test_law_3_time_that_the_clock_hides_is_charged_up_to_the_moment_that_was_due() -> None:
    rig = running().run(2_500)
    due_ms = min(rig.core.get_timer(), rig.core.look_by_ms)
    covered_ms, total = rig.core.meter.covered_ms, rig.lane.book.total.nominal
    back = Now(elapsed_ms=rig.now_ms - 60_000, wall_unix_ms=0)
    assert rig.core.went_back(back)
    with pytest.raises(ClockError):
        rig.core.handle_timer(back)
    rig.core.samples(rig.hardware.sample(), back)
    least = h100().worst_nominal_flop_per_s * (due_ms - covered_ms) // 1000
    assert due_ms > rig.now_ms
    assert rig.lane.book.total.nominal - total >= least


def test_law_8_a_gate_that_starts_before_its_own_last_report_holds_the_host() -> None:
    rig = running().run(70_000)
    report = rig.last_report()
    rig.wall_unix_ms += 30_000
    total = rig.lane.book.total.nominal
    rig.now_ms -= 60_000
    rig.restart().run(1_000)
    assert why(rig).reason == "clock.boot.backwards"
    assert rig.state in {LaneState.FROZEN, LaneState.HALTED}
    assert rig.last_report().made_ms >= report.made_ms, "no report goes back in time"
    away_ms = rig.wall_unix_ms - report.wall_unix_ms - 2_000
    charged = rig.lane.book.total.nominal - total
    assert charged >= h100().worst_nominal_flop_per_s * away_ms // 1000


def test_law_8_an_enrolled_host_without_a_policy_stops() -> None:
    rig = GateRig(network=cut)
    authority = rig.authority
    rig.hardware.start(pid=1)
    name = authority.name
    rig.carry_out(rig.core.enrol(name, b"courier", rig.now))
    enrolment = rig.core.authorities[name].enrolment
    assert enrolment is not None
    # A delegation that asks for no policy: the admission itself then holds.
    orders = [authority.root, authority.delegation(least_policy_version=0)]
    admission = authority.admission(enrolment, policy_digest=b"")
    rig.carry_out(rig.core.admission(name, admission, orders, rig.now))
    assert rig.core.enrolled
    rig.run(20_000)
    assert why(rig).reason == "policy.missing"
    assert rig.state is LaneState.HALTED
    assert not rig.done(Thaw)


def test_law_8_a_ledger_that_fails_stops_and_signs_no_more() -> None:
    rig = running()
    rig.carry_out(rig.core.fault("ledger.failed", "disk full", "Free space.", rig.now))
    reports = len(rig.done(KeepReport))
    rig.run(120_000)
    assert len(rig.done(KeepReport)) == reports
    assert rig.state is LaneState.HALTED
    assert why(rig).way_back == "Free space."


def test_law_8_a_freeze_that_a_failed_keep_voided_is_asked_for_again() -> None:
    rig = running()
    voided = rig.core.order(rig.authority.name, rig.authority.pause(emergency=True), rig.now)
    assert [one for one in voided if isinstance(one, Freeze)]
    again = rig.core.fault("ledger.failed", "disk full", "Free space.", rig.now)
    assert [one for one in again if isinstance(one, Freeze)] == [
        Freeze(workload=WORKLOAD, pids=(100,))
    ]


def test_law_8_every_stop_names_reason_authority_and_way_back() -> None:
    authority = GateAuthority()
    name = authority.name
    stops: list[Denied] = []
    rig = GateRig(authority, network=cut).enrol().run(1_000)
    stops.append(why(rig))
    rig = running(authority)
    rig.order(authority.pause())
    stops.append(why(rig))
    rig = running(authority)
    rig.network = cut
    rig.run_until(LaneState.WINDING_DOWN)
    assert rig.lane.why is not None
    stops.append(rig.lane.why)
    rig.run(60_000)
    stops.append(why(rig))
    authority.pauses = (bytes(32),)
    rig = GateRig(authority).enrol().run(1_000)
    stops.append(why(rig))
    assert [stop.reason for stop in stops] == [
        "permit.none",
        "pause.latched",
        "permit.expiring",
        "permit.expired",
        "pause.unseen",
    ]
    for stop in stops:
        assert stop.authority == name, stop
        assert stop.detail, stop
        assert stop.way_back.endswith("."), stop


def test_law_8_an_unenrolled_host_is_left_alone() -> None:
    rig = GateRig()
    rig.hardware.start(pid=1)
    rig.run(60_000)
    assert {type(action) for _, action in rig.actions} == {Restore, Thaw}
    assert rig.work_since(rig.now_ms - 1)


def test_law_8_the_figure_that_policy_charges_holds_from_the_first_look_on() -> None:
    rig = running()
    rig.order(rig.authority.policy_order(charged_figure=ChargedFigure.HIGH))
    rig.restart(away_ms=1_000)
    before = rig.lane.book.unaccounted_flop
    rig.core.samples(rig.hardware.sample(), rig.now)
    charged = rig.lane.book.unaccounted_flop - before
    second = h100().sm_count * h100().max_clock_khz * 1000
    assert charged >= second * h100().rates.hmma_high, "a second at the high figure"


def test_law_1_a_newcomer_is_held_under_a_clock_that_stepped_back() -> None:
    """The counters of such a look prove nothing; who is on the chips it tells nevertheless."""
    rig = running()
    back = Now(elapsed_ms=rig.now_ms - 60_000, wall_unix_ms=0)
    with pytest.raises(ClockError):
        rig.core.handle_timer(back)
    rig.carry_out(rig.core.fault("clock.boot.backwards", "stepped back", "Restart.", back))
    rig.hardware.start(pid=4711, drain_ms=None)
    later = replace(back, elapsed_ms=back.elapsed_ms + 1_000)
    rig.carry_out(rig.core.samples(rig.hardware.sample(), later))
    assert rig.done(Freeze)[-1:] == [Freeze(workload=WORKLOAD, pids=(100, 4711))]
    for _ in range(LOOKS_MIN):
        rig.pass_time(rig.now_ms + 200)
        later = replace(later, elapsed_ms=later.elapsed_ms + 200)
        rig.carry_out(rig.core.samples(rig.hardware.sample(), later))
    due = replace(later, elapsed_ms=later.elapsed_ms + NEWCOMER_DRAIN_MS)
    rig.carry_out(rig.core.handle_timer(due))
    assert rig.done(Kill)[-1:] == [Kill(workload=WORKLOAD, pids=(100, 4711))]
