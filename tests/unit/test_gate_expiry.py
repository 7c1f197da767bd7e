"""Law 1: a host stops by itself, in time, whatever runs on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_agent.gate.actions import Freeze, Kill, Notify, Tell, Thaw
from flopgate_agent.gate.lanes.allowance import Allowed
from flopgate_agent.gate.lanes.insisting import NEWCOMER_DRAIN_MS, REKILL_LATER_MS
from flopgate_agent.gate.lanes.lane import COMPUTING
from flopgate_agent.gate.settings import Now
from flopgate_proto.codec import decode_report
from flopgate_proto.errors import MisdirectedError
from flopgate_proto.values import Finding, LaneState, Refusal, Severity
from tests.support.fixed import WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, cut, running, settings

DRAIN_MS = 2_000
"""As the test authority has it."""
STOPPED = {LaneState.FROZEN, LaneState.HALTED}


def test_law_1_work_ends_within_lifetime_when_the_network_is_cut() -> None:
    rig = running().run(30_000)
    rig.network = cut
    rig.run(60_000)
    assert rig.hardware.last_work_ms[0] is not None
    assert not rig.work_since(rig.deadline_ms)
    assert rig.state is LaneState.HALTED


@pytest.mark.parametrize("options", [{"drain_ms": None}, {"drain_ms": 60_000}])
def test_law_1_what_does_not_drain_is_killed_within_lifetime(options: dict[str, int]) -> None:
    rig = GateRig()
    rig.hardware.start(pid=1, **options)
    rig.enrol().run_until(LaneState.RUNNING)
    rig.network = cut
    rig.run(60_000)
    assert rig.done(Kill)
    assert not rig.work_since(rig.deadline_ms)
    assert rig.hardware.pids(0) == ()


def test_law_1_a_kernel_that_rests_and_works_again_after_the_freeze_is_killed_at_once() -> None:
    # It looks still for long enough to pass as halted, again and again.
    rig = GateRig()
    rig.hardware.start(pid=1, drain_ms=None, burst=(2_000, 900))
    rig.enrol().run_until(LaneState.RUNNING)
    rig.network = cut
    rig.run(60_000)
    assert not rig.work_since(rig.deadline_ms)
    assert rig.hardware.pids(0) == ()


def test_law_1_a_process_that_somebody_woke_again_does_not_live_on() -> None:
    rig = running()
    rig.network = cut
    rig.run_until(LaneState.HALTED)
    rig.run(60_000)
    for job in rig.hardware.jobs:
        job.frozen_ms = None
    woken_ms = rig.now_ms
    rig.run(10_000)
    # Seen at the next look, killed at once: no drain for what never had permission.
    assert not rig.work_since(woken_ms + 2 * rig.settings.sample_interval_ms)


def test_law_1_a_chip_without_cycle_counters_counts_as_stopped_only_without_contexts() -> None:
    rig = GateRig()
    rig.hardware.gpm = False
    rig.hardware.start(pid=1, drain_ms=50)
    rig.enrol().run_until(LaneState.RUNNING)
    rig.network = cut
    rig.run_until(LaneState.HALTED)
    assert rig.hardware.pids(0) == ()
    assert not rig.work_since(rig.deadline_ms)


def test_law_1_a_communication_kernel_is_no_work() -> None:
    rig = GateRig()
    rig.hardware.start(pid=1, drain_ms=None, comm=True)
    rig.enrol().run_until(LaneState.RUNNING)
    rig.network = cut
    rig.run(60_000)
    assert rig.state is LaneState.HALTED
    assert rig.hardware.pids(0) == (1,), "frozen, not killed"


def test_law_1_lifetime_counts_from_the_request_and_not_from_receipt() -> None:
    rig = GateRig(network=lambda _authority, _report: 7_000).enrol()
    rig.run_until(LaneState.RUNNING)
    permission = rig.core.permissions[WORKLOAD]
    made_ms = decode_report(rig.reports[0].payload).made_ms
    assert rig.now_ms >= made_ms + 7_000
    assert isinstance(permission, Allowed)
    assert permission.until_ms == made_ms + rig.authority.policy.lifetime_ms


def test_law_1_a_late_answer_acknowledges_and_permits_nothing() -> None:
    rig = GateRig(network=cut).enrol()
    answer = rig.authority.answer(rig.reports[0])
    rig.run(rig.authority.policy.lifetime_ms)
    rig.answer(answer)
    known = rig.core.authorities[rig.authority.name]
    assert known.acknowledged_sequence == 1
    assert known.quote.batch_number == 1
    assert known.quote.grant == b"", "what was never in use is not named"
    assert known.permit is None
    assert rig.state in STOPPED
    assert not rig.done(Thaw)


def test_law_1_an_answer_with_too_little_time_left_starts_nothing() -> None:
    rig = GateRig(network=cut).enrol()
    answer = rig.authority.answer(rig.reports[0])
    policy = rig.authority.policy
    bound_ms = rig.settings.enforcement_bound_ms
    rig.run(policy.lifetime_ms - policy.drain_ms - bound_ms - policy.wind_down_ms)
    rig.answer(answer)
    assert rig.state in STOPPED
    assert not rig.done(Thaw)


def test_law_1_wall_clock_jumps_change_nothing() -> None:
    still, jumping = running(), running()
    for step in range(60):
        jumping.wall_unix_ms += (-1) ** step * 10**9 * step
        if step == 30:
            still.network = jumping.network = cut
        still.run(1_000)
        jumping.run(1_000)
        assert jumping.state is still.state
        assert jumping.lane.book.allotted_flop == still.lane.book.allotted_flop
    assert still.state is LaneState.HALTED


def test_law_1_a_pushed_pause_ends_work_after_wind_down() -> None:
    rig = running()
    policy, paused_ms = rig.authority.policy, rig.now_ms
    rig.order(rig.authority.pause())
    assert rig.done(Notify)[-1:] == [
        Notify(workload=WORKLOAD, pids=(100,), left_ms=policy.wind_down_ms)
    ]
    rig.run(30_000)
    assert rig.work_since(paused_ms + policy.wind_down_ms - 1), "time for a checkpoint"
    assert not rig.work_since(paused_ms + policy.wind_down_ms + 100)
    assert rig.state is LaneState.HALTED


def test_law_1_an_emergency_stops_at_once() -> None:
    rig = running()
    paused_ms = rig.now_ms
    rig.order(rig.authority.pause(emergency=True))
    assert isinstance(rig.done(Freeze)[-1], Freeze)
    assert rig.state is LaneState.FROZEN
    rig.run(30_000)
    assert not rig.work_since(paused_ms + 50)


def test_law_1_an_emergency_cuts_a_wind_down_short() -> None:
    rig = running()
    rig.order(rig.authority.pause())
    rig.run(1_000)
    emergency_ms = rig.now_ms
    rig.order(rig.authority.pause(emergency=True))
    rig.run(30_000)
    assert not rig.work_since(emergency_ms + 50)


def test_law_1_another_pause_does_not_lengthen_a_wind_down() -> None:
    rig = running()
    policy, paused_ms = rig.authority.policy, rig.now_ms
    for _ in range(10):
        rig.order(rig.authority.pause())
        rig.run(1_000)
    assert not rig.work_since(paused_ms + policy.wind_down_ms + 100)


def test_law_1_a_pause_never_outlasts_the_permit() -> None:
    rig = running()
    rig.network = cut
    policy = rig.authority.policy
    rig.run(rig.deadline_ms - rig.now_ms - policy.wind_down_ms - policy.drain_ms - 3_000)
    rig.order(rig.authority.pause())
    rig.run(30_000)
    assert not rig.work_since(rig.deadline_ms)


def test_law_1_a_pause_at_the_last_moment_never_outlasts_the_permit() -> None:
    authority = GateAuthority()
    authority.terms = {"wind_down_ms": 0}
    rig = GateRig(authority)
    rig.hardware.start(pid=1, drain_ms=None)
    rig.enrol().run_until(LaneState.RUNNING)
    rig.network = cut
    freeze_at_ms = rig.deadline_ms - authority.policy.drain_ms - rig.settings.enforcement_bound_ms
    rig.run(freeze_at_ms - 500 - rig.now_ms)
    rig.order(authority.pause())
    rig.run(30_000)
    assert not rig.work_since(rig.deadline_ms)


def test_law_1_standstill_is_what_was_seen_after_the_freeze() -> None:
    rig = GateRig()
    rig.enrol().run_until(LaneState.RUNNING)
    rig.run(5_000)
    rig.order(rig.authority.pause(emergency=True))
    rig.pass_time(rig.now_ms + 1)
    rig.carry_out(rig.core.handle_timer(rig.now))
    assert rig.state is LaneState.FROZEN, "idle before the freeze proves nothing"
    rig.run_until(LaneState.HALTED)


def test_law_1_one_look_that_sees_nothing_kills_no_frozen_job() -> None:
    rig = running()
    rig.order(rig.authority.pause())
    rig.run_until(LaneState.HALTED)
    rig.hardware.gpm = False
    rig.run(1_500)
    rig.hardware.gpm = True
    rig.run(10_000)
    assert rig.state is LaneState.HALTED
    assert rig.hardware.pids(0) == (100,)


def test_law_1_permission_is_asked_again_before_the_thaw() -> None:
    rig = running()
    rig.order(rig.authority.pause())
    rig.run_until(LaneState.HALTED)
    thaws = len(rig.done(Thaw))
    rig.run(120_000)
    assert len(rig.done(Thaw)) == thaws, "renewals go on, the pause holds"


def test_law_1_a_thaw_says_until_when_it_may_be_carried_out() -> None:
    rig = running()
    thaw = rig.done(Thaw)[-1]
    permission = rig.core.permissions[WORKLOAD]
    assert isinstance(thaw, Thaw)
    assert isinstance(permission, Allowed)
    assert thaw.until_ms < permission.until_ms


def test_law_1_a_new_process_on_a_halted_lane_is_held() -> None:
    rig = GateRig(network=cut).enrol().run_until(LaneState.HALTED)
    rig.hardware.start(pid=7, comm=True)
    rig.run(10_000)
    assert rig.hardware.jobs[0].frozen_ms is not None
    assert rig.hardware.pids(0) == (7,), "it did no work: held, not killed"
    assert rig.state is LaneState.HALTED


def test_law_1_work_that_starts_on_a_halted_lane_is_killed_if_it_does_not_stand() -> None:
    rig = GateRig(network=cut).enrol().run_until(LaneState.HALTED)
    started_ms = rig.now_ms
    rig.hardware.start(pid=7, drain_ms=None)
    rig.run(10_000)
    assert not rig.work_since(
        started_ms + rig.settings.sample_interval_ms + NEWCOMER_DRAIN_MS + 100
    )
    assert rig.hardware.pids(0) == ()


@pytest.mark.parametrize("late_ms", [NEWCOMER_DRAIN_MS + 500, DRAIN_MS + 500])
def test_law_1_whom_nobody_looked_at_has_until_somebody_does_at_most_the_drain(
    late_ms: int,
) -> None:
    """A host may have no time for its sampler: what stands for long is not seen to."""
    rig = GateRig(network=cut).enrol().run_until(LaneState.HALTED)
    rig.hardware.start(pid=7, drain_ms=100)
    rig.run_until(LaneState.FROZEN)
    rig.silent = True
    rig.run(late_ms)
    rig.silent = False
    rig.run(2_000)
    assert rig.state is LaneState.HALTED
    assert rig.hardware.pids(0) == ((7,) if late_ms < DRAIN_MS else ())


def test_a_job_that_a_scheduler_starts_on_a_halted_lane_is_held_not_killed() -> None:
    rig = GateRig(network=cut).enrol().run_until(LaneState.HALTED)
    rig.hardware.start(pid=7, drain_ms=50)
    rig.run(10_000)
    assert rig.hardware.jobs[0].frozen_ms is not None
    assert rig.hardware.pids(0) == (7,)
    assert not rig.done(Kill)


def test_law_1_late_timers_of_a_busy_host_eat_none_of_the_lifetime() -> None:
    rig = GateRig(base=settings())
    rig.lateness_ms = 700
    rig.hardware.start(pid=1, drain_ms=None, death_ms=500)
    rig.enrol().run_until(LaneState.RUNNING)
    rig.network = cut
    rig.run(60_000)
    assert rig.done(Kill)
    assert not rig.work_since(rig.deadline_ms)


def test_law_1_renewal_in_wind_down_goes_on_without_a_freeze() -> None:
    rig = running()
    rig.network = cut
    rig.run_until(LaneState.WINDING_DOWN)
    freezes = len(rig.done(Freeze))
    asked = [report for report in rig.reports if decode_report(report.payload).request]
    rig.answer(rig.authority.answer(asked[-1]))
    assert rig.state is LaneState.RUNNING
    rig.run(1_000)
    assert len(rig.done(Freeze)) == freezes


def test_law_1_a_permit_dies_with_its_run() -> None:
    rig = running()
    answer = rig.authority.answer(rig.reports[-1])
    rig.restart()
    rig.network = cut
    rig.run(5_000)
    assert rig.state in STOPPED
    before = rig.state
    with pytest.raises(MisdirectedError, match=r"answer\.run"):
        rig.answer(answer)
    assert rig.state is before


def test_law_1_a_clock_that_jumps_ahead_stops_work() -> None:
    rig = running()
    ahead = Now(elapsed_ms=rig.deadline_ms + 1, wall_unix_ms=0)
    rig.network = cut
    rig.pass_time(ahead.elapsed_ms)
    rig.carry_out(rig.core.handle_timer(ahead))
    assert rig.state is LaneState.FROZEN


def test_law_1_a_refusal_winds_down() -> None:
    authority = GateAuthority()
    rig = running(authority)
    grant = authority.verdicts(rig.last_report())
    assert grant
    authority.refuses = {WORKLOAD: replace(grant[0], outcome=_refusal())}
    rig.run_until(LaneState.WINDING_DOWN)
    since_ms = rig.now_ms
    rig.run(30_000)
    assert not rig.work_since(since_ms + authority.policy.wind_down_ms + 100)
    why = rig.lane.why
    assert why is not None
    assert (why.reason, why.authority) == ("budget.spent", authority.name)


def _refusal() -> Refusal:
    return Refusal(reason="budget.spent", detail="spent", way_back="Ask for more.")


def reported(rig: GateRig) -> list[Finding]:
    return [one for sent in rig.reports for one in decode_report(sent.payload).findings]


def test_a_kill_that_ends_it_in_time_is_no_computing_without_permission() -> None:
    rig = GateRig()
    rig.hardware.start(pid=1, drain_ms=None)
    rig.enrol().run_until(LaneState.RUNNING)
    rig.network = cut
    rig.run(60_000)
    assert rig.state is LaneState.HALTED
    assert "lane.killed" in [one.event for one in rig.done(Tell) if isinstance(one, Tell)]
    assert not [one for one in reported(rig) if one.id == COMPUTING]


def test_a_stop_that_does_not_succeed_is_tried_on_and_told_once_a_minute() -> None:
    """A chip that is off the bus cannot be shown to stand: that is no news twice a second."""
    rig = running()
    rig.network = cut
    rig.hardware.lost.add(0)
    rig.run_until(LaneState.FROZEN).run(30_000)
    rig.actions.clear()
    rig.run(120_000)
    assert rig.state is LaneState.FROZEN
    told = [one for one in rig.done(Tell) if isinstance(one, Tell)]
    assert [one.event for one in told] == [COMPUTING] * 2
    found = [one for one in reported(rig) if one.id == COMPUTING]
    assert {(one.subject, one.severity) for one in found} == {(WORKLOAD, Severity.ALERT)}
    assert len(rig.done(Kill)) >= 120_000 // REKILL_LATER_MS - 1
