"""Phases: how far rules bite, and what is told where they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_agent.gate.actions import Deny, Freeze, Kill, Notify, Tell
from flopgate_agent.gate.authorities.told_time import OLD_MS
from flopgate_agent.gate.faults import LEDGER_FAILED
from flopgate_proto.codec import decode_report
from flopgate_proto.phases import phase_at, strictest_between
from flopgate_proto.values import (
    Finding,
    LaneState,
    Phase,
    PhaseRule,
    Refusal,
    Scope,
    ScopeKind,
    Verdict,
)
from tests.support.fixed import GOVERNOR_UNIX_MS, WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import START_MS, GateRig, cut, settings

EVERYTHING = Scope(ScopeKind.EVERYTHING)
SITE = Scope(ScopeKind.SITE, "site-1")
ALPHA, BETA = Scope(ScopeKind.CLUSTER, "alpha"), Scope(ScopeKind.CLUSTER, "beta")
DAY_MS = 86_400_000
REFUSED = Verdict(
    workload=WORKLOAD,
    outcome=Refusal(reason="budget.spent", detail="the cap is reached", way_back="Ask."),
)


def rule(phase: Phase, from_unix_ms: int = 0, scope: Scope = EVERYTHING) -> PhaseRule:
    return PhaseRule(scope=scope, phase=phase, from_unix_ms=from_unix_ms)


def authority(
    *rules: PhaseRule, age_ms: int = 14 * DAY_MS, name: str | None = None
) -> GateAuthority:
    one = GateAuthority() if name is None else GateAuthority(name)
    one.policy_order(phases=rules, loose_phase_age_ms=age_ms)
    return one


def ruled_by(*authorities: GateAuthority, phase_at_least: Phase = Phase.OBSERVE) -> GateRig:
    """A host with a job that computes, in the phase that its authorities say."""
    rig = GateRig(*authorities, base=settings(phase_at_least=phase_at_least))
    rig.hardware.start(pid=100)
    return rig.enrol().run(5_000)


def findings(rig: GateRig) -> list[Finding]:
    return [found for sent in rig.reports for found in decode_report(sent.payload).findings]


@pytest.mark.parametrize("phase", [Phase.OBSERVE, Phase.WARN])
def test_without_permission_a_loose_phase_stops_nothing_and_tells_what_it_would(
    phase: Phase,
) -> None:
    rig = ruled_by(authority(rule(phase)))
    rig.authority.refuses = {WORKLOAD: REFUSED}
    rig.run(60_000)
    refused_ms = rig.now_ms
    rig.run(10_000)
    assert not rig.done(Freeze, Kill)
    assert rig.work_since(refused_ms), "the job computes on"
    report = rig.last_report().lanes[0]
    assert (report.state, report.stop_reason) == (LaneState.RUNNING, "budget.spent")
    told = [found for found in findings(rig) if found.id == "lane.would-stop"]
    assert any(
        "budget.spent" in found.detail and rig.authority.name in found.detail for found in told
    )
    assert rig.lane.would is not None
    assert (
        rig.lane.would.freeze_at_ms == rig.lane.would.since_ms + rig.authority.policy.wind_down_ms
    )
    assert [found for found in findings(rig) if found.id == f"phase.{phase.name.lower()}"]


def test_warn_gives_a_job_that_ran_with_permission_its_notice_and_observe_does_not() -> None:
    for phase, notices in ((Phase.OBSERVE, 0), (Phase.WARN, 1)):
        rig = ruled_by(authority(rule(phase)))
        assert not rig.done(Notify), "what starts without permission gets none"
        rig.authority.refuses = {WORKLOAD: REFUSED}
        rig.run(60_000)
        assert len(rig.done(Notify)) == notices


def test_a_permission_that_comes_back_ends_what_would_have_been() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE)))
    rig.authority.refuses = {WORKLOAD: REFUSED}
    rig.run(20_000)
    rig.authority.refuses = {}
    rig.run(20_000)
    assert rig.lane.would is None
    assert rig.last_report().lanes[0].stop_reason == ""
    told = [one.event for one in rig.done(Tell) if isinstance(one, Tell)]
    assert told.index("lane.would-stop") < len(told) - 1 - told[::-1].index("lane.would-go-on")


def test_a_pause_in_observe_is_latched_and_told_and_stops_nothing() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE)))
    pause = rig.authority.pause(scope=EVERYTHING, lapse_ms=1_000_000, emergency=True)
    rig.order(pause)
    paused_ms = rig.now_ms
    rig.run(30_000)
    assert rig.work_since(paused_ms + 20_000)
    told = [found.detail for found in findings(rig) if found.id == "lane.would-stop"]
    assert any(pause.digest.hex() in detail for detail in told), "the order is named"


def test_what_runs_without_a_grant_is_written_down_in_the_other_book() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE)))
    rig.network = cut
    rig.run(30_000)
    allotted_tflop = rig.lane.book.allotted_tflop
    rig.run(30_000)
    assert rig.lane.book.allotted_tflop == allotted_tflop <= rig.highest_ceiling_tflop
    assert rig.lane.book.unaccounted_tflop > 0


def test_enforce_stops_what_observe_let_run_after_its_wind_down() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE)))
    rig.authority.refuses = {WORKLOAD: REFUSED}
    rig.run(60_000)
    rig.order(rig.authority.policy_order(phases=(rule(Phase.ENFORCE),)))
    assert rig.done(Notify), "the wind-down that the refusal grants"
    policy = rig.authority.policy
    rig.run(policy.wind_down_ms + policy.drain_ms + rig.settings.enforcement_bound_ms)
    stopped_ms = rig.now_ms
    rig.run(20_000)
    assert rig.state is LaneState.HALTED
    assert not rig.work_since(stopped_ms)


def test_what_was_held_runs_again_when_officers_go_back_to_observe() -> None:
    rig = ruled_by(authority(rule(Phase.ENFORCE)))
    rig.authority.refuses = {WORKLOAD: REFUSED}
    rig.run_until(LaneState.HALTED)
    rig.order(rig.authority.policy_order(phases=(rule(Phase.OBSERVE),)))
    rig.run(10_000)
    assert rig.state is LaneState.RUNNING


def test_a_date_bites_when_it_may_have_come_and_loosens_when_it_surely_has() -> None:
    begins = GOVERNOR_UNIX_MS + 60_000
    rig = ruled_by(authority(rule(Phase.OBSERVE), rule(Phase.ENFORCE, begins)))
    rig.network = cut
    rig.run(54_000)
    assert not rig.done(Freeze)
    rig.run(2_000)
    assert rig.done(Freeze), "with no answer since"
    late = ruled_by(authority(rule(Phase.ENFORCE), rule(Phase.OBSERVE, begins)))
    late.network = cut
    late.run(60_000 - 5_000 - 100)
    assert late.core.in_force.bites
    late.run(200)
    assert late.core.in_force.phase is Phase.OBSERVE


def test_an_admission_that_took_long_leaves_the_strictest_that_it_can_be() -> None:
    begins = GOVERNOR_UNIX_MS + 10_000
    rig = GateRig(authority(rule(Phase.OBSERVE), rule(Phase.ENFORCE, begins)), network=cut)
    asked = rig.ask(rig.authority)
    rig.run(20_000)
    rig.admit(rig.authority, asked)
    assert rig.core.in_force.bites, "it may have been on its way for all of that time"


def test_a_slow_admission_stops_nobody_for_a_date_that_has_not_come() -> None:
    begins = GOVERNOR_UNIX_MS + 10 * OLD_MS
    rig = GateRig(authority(rule(Phase.OBSERVE), rule(Phase.ENFORCE, begins)))
    rig.hardware.start(pid=100)
    asked = rig.ask(rig.authority)
    rig.run(20 * OLD_MS)
    rig.admit(rig.authority, asked)
    rig.run(2 * OLD_MS)
    assert not rig.done(Freeze, Kill, Deny)
    assert rig.core.in_force.phase is Phase.OBSERVE


def test_a_slow_admission_without_an_answer_after_it_is_the_strictest_that_it_can_be() -> None:
    begins = GOVERNOR_UNIX_MS + 10 * OLD_MS
    rig = GateRig(authority(rule(Phase.OBSERVE), rule(Phase.ENFORCE, begins)), network=cut)
    asked = rig.ask(rig.authority)
    rig.run(20 * OLD_MS)
    rig.admit(rig.authority, asked)
    admitted_ms = rig.now_ms
    rig.run(OLD_MS - 1)
    assert rig.core.in_force.phase is Phase.OBSERVE
    assert rig.core.get_timer() == admitted_ms + OLD_MS
    assert rig.run(100).core.in_force.bites
    assert rig.restart().run(1_000).core.in_force.bites


def test_until_its_admission_comes_a_host_is_stopped_by_nothing() -> None:
    rig = GateRig(authority(rule(Phase.ENFORCE)))
    rig.hardware.start(pid=100)
    asked = rig.ask(rig.authority)
    rig.run(10 * OLD_MS)
    rig.restart().run(60_000)
    rig.carry_out(rig.core.fault(LEDGER_FAILED, "the disk is full", "Make room.", rig.now))
    rig.run(60_000)
    assert not rig.done(Freeze, Kill, Deny)
    rig.admit(rig.authority, asked)
    rig.run(1_000)
    assert rig.done(Freeze), "from here on it is ruled"


def test_the_gate_wakes_at_the_date_itself() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE), rule(Phase.ENFORCE, GOVERNOR_UNIX_MS + 5_400)))
    assert rig.core.get_timer() == START_MS + 5_400


def test_no_wall_clock_and_no_answer_that_goes_back_in_time_makes_it_looser() -> None:
    begins = GOVERNOR_UNIX_MS + 10_000
    rig = ruled_by(authority(rule(Phase.OBSERVE), rule(Phase.ENFORCE, begins)))
    rig.run(10_000)
    assert rig.core.in_force.bites
    rig.wall_unix_ms -= DAY_MS
    rig.authority.unix_ms -= DAY_MS
    rig.run(20_000)
    assert rig.core.in_force.bites


def test_a_policy_that_grew_old_stays_loose_no_longer_over_restarts() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE), age_ms=40_000))
    rig.run(10_000)
    rig.restart().run(10_000)
    assert rig.core.in_force.phase is Phase.OBSERVE
    rig.restart(boot_id=bytes([9] * 16)).run(30_000)
    assert rig.core.in_force.bites
    assert "too old" in rig.core.in_force.why
    rig.order(rig.authority.policy_order(phases=(rule(Phase.WARN),)))
    assert rig.core.in_force.bites, "nobody but who brought it says that it is in force"
    rig.run(10_000)
    assert rig.core.in_force.why.startswith("policy 3 ")


def test_a_gate_that_is_killed_before_each_report_grows_old_all_the_same() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE), age_ms=200_000))
    rig.network = cut
    for _ in range(3):
        ran_ms = rig.run(50_000).core.running_ms
        assert rig.core.in_force.phase is Phase.OBSERVE
        rig.restart(ran_ms=ran_ms, away_ms=100_000)
    rig.run(50_000)
    assert rig.core.in_force.bites
    assert rig.core.running_ms < 210_000, "what no gate ran does not count"


def test_a_gate_that_is_killed_again_and_again_reaches_the_date_within_its_boot() -> None:
    rules = (rule(Phase.OBSERVE), rule(Phase.ENFORCE, from_unix_ms=GOVERNOR_UNIX_MS + DAY_MS))
    rig = ruled_by(authority(*rules, age_ms=10 * DAY_MS))
    rig.network = cut
    for _ in range(10):
        rig.run(3_000).restart(away_ms=DAY_MS // 10)
    rig.run(1_000)
    assert rig.core.running_ms < 60_000
    assert rig.core.in_force.bites


def test_no_gate_believes_that_it_ran_longer_than_has_passed_since_its_last_report() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE)))
    last = decode_report(rig.reports[-1].payload)
    rig.restart(ran_ms=10**9, away_ms=7_000)
    assert rig.core.running_ms == last.running_ms + rig.now_ms - last.made_ms
    rig.restart(ran_ms=10**9, boot_id=bytes([9] * 16))
    assert rig.core.running_ms == last.running_ms, "that lease is of another boot"


def test_the_phase_outlives_a_reboot_without_any_answer() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE)))
    rig.network = cut
    rig.restart(boot_id=bytes([9] * 16))
    rig.hardware.start(pid=100)
    rig.run(30_000)
    assert rig.core.in_force.phase is Phase.OBSERVE
    assert not rig.done(Freeze, Kill)


def test_time_that_passed_before_a_reboot_stays_passed() -> None:
    begins = GOVERNOR_UNIX_MS + 10_000
    rig = ruled_by(authority(rule(Phase.OBSERVE), rule(Phase.ENFORCE, begins)))
    rig.authority.unix_ms += 30_000
    rig.run(10_000)
    rig.network = cut
    rig.restart(boot_id=bytes([9] * 16)).run(1_000)
    assert rig.core.in_force.bites


def test_the_strictest_of_several_authorities_rules() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE)), authority(rule(Phase.WARN), name="B"))
    assert not rig.core.in_force.bites
    other = rig.authorities["B"]
    rig.order(other.policy_order(phases=(rule(Phase.ENFORCE),)), other)
    assert rig.core.in_force.bites


@pytest.mark.parametrize("least", list(Phase))
@pytest.mark.parametrize("said", list(Phase))
def test_the_hosts_own_configuration_can_only_make_it_stricter(said: Phase, least: Phase) -> None:
    rig = ruled_by(authority(rule(said)), phase_at_least=least)
    assert rig.core.in_force.phase is max(said, least)


def test_an_answer_can_make_it_stricter_and_never_looser() -> None:
    rig = ruled_by(authority(rule(Phase.WARN)))
    for told, phase in ((Phase.ENFORCE, Phase.ENFORCE), (Phase.OBSERVE, Phase.WARN)):
        rig.authority.terms = {"phase": told}
        rig.run(10_000)
        assert rig.core.in_force.phase is phase


def test_faults_are_told_in_observe_and_stop_nothing() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE)))
    rig.carry_out(rig.core.fault(LEDGER_FAILED, "disk full", "Free space.", rig.now))
    failed_ms = rig.now_ms
    rig.run(20_000)
    assert not rig.done(Freeze, Kill)
    assert rig.work_since(failed_ms)
    assert rig.lane.why is not None
    assert rig.lane.why.reason == LEDGER_FAILED
    assert not rig.core.must_stand


def test_a_job_that_runs_when_the_host_is_admitted_goes_on_in_observe() -> None:
    rig = GateRig(authority(rule(Phase.OBSERVE)), network=cut)
    rig.hardware.start(pid=100)
    rig.run(5_000)
    rig.enrol().run(20_000)
    assert not rig.done(Freeze, Kill)
    assert rig.work_since(rig.now_ms - 2_000)


@pytest.mark.parametrize(
    ("rules", "phase"),
    [
        ((), Phase.ENFORCE),
        ((rule(Phase.OBSERVE, 11),), Phase.ENFORCE),
        ((rule(Phase.OBSERVE), rule(Phase.ENFORCE, 5)), Phase.ENFORCE),
        ((rule(Phase.ENFORCE), rule(Phase.OBSERVE, scope=SITE)), Phase.OBSERVE),
        ((rule(Phase.OBSERVE), rule(Phase.WARN, 3), rule(Phase.OBSERVE, 3)), Phase.WARN),
        (
            (rule(Phase.OBSERVE, 9, SITE), rule(Phase.WARN, 1, replace(SITE, id="moved"))),
            Phase.WARN,
        ),
        ((rule(Phase.OBSERVE, scope=Scope(ScopeKind.WORKLOAD, "w")),), Phase.ENFORCE),
        ((rule(Phase.OBSERVE, scope=ALPHA),), Phase.ENFORCE),
        ((rule(Phase.WARN), rule(Phase.OBSERVE, scope=ALPHA)), Phase.WARN),
        ((rule(Phase.OBSERVE), rule(Phase.WARN, scope=ALPHA)), Phase.WARN),
        (
            (rule(Phase.ENFORCE), rule(Phase.OBSERVE, scope=ALPHA), rule(Phase.WARN, scope=BETA)),
            Phase.WARN,
        ),
    ],
)
def test_narrowest_then_latest_then_strictest(rules: tuple[PhaseRule, ...], phase: Phase) -> None:
    scopes = {EVERYTHING, SITE, replace(SITE, id="moved"), ALPHA, BETA}
    assert phase_at(rules, scopes, 10) is phase


def test_who_does_not_know_the_moment_takes_the_strictest_of_all() -> None:
    rules = (rule(Phase.OBSERVE), rule(Phase.ENFORCE, 5), rule(Phase.OBSERVE, 7))
    assert strictest_between(rules, {EVERYTHING}, 4, 8) is Phase.ENFORCE
    assert strictest_between(rules, {EVERYTHING}, 4, 4) is Phase.OBSERVE
