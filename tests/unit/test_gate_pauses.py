"""Law 6: pause is cheap, resume is dear."""

from __future__ import annotations

import pytest

from flopgate_agent.gate.actions import KeepOrder, Thaw
from flopgate_agent.gate.lanes.allowance import Denied
from flopgate_proto.errors import ForgedError, MisdirectedError
from flopgate_proto.values import LaneState, Role, Scope, ScopeKind
from tests.support import orders
from tests.support.fixed import OFFICER_KEYS, STRANGER_KEY, WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, running

EVERYTHING = Scope(ScopeKind.EVERYTHING)
OTHER_CLUSTER = Scope(ScopeKind.CLUSTER, "hall-2")
HOUR_MS = 3_600_000


def reason(rig: GateRig) -> str:
    """Why the first lane may not run, empty if it may."""
    permission = rig.core.permissions[WORKLOAD]
    return permission.reason if isinstance(permission, Denied) else ""


@pytest.mark.parametrize(
    "scope",
    [
        Scope(ScopeKind.JURISDICTION, "XX"),
        Scope(ScopeKind.CUSTODIAN, "operator.example"),
        Scope(ScopeKind.SITE, "site-1"),
        Scope(ScopeKind.CLUSTER, "hall-1"),
        Scope(ScopeKind.WORKLOAD, WORKLOAD),
        EVERYTHING,
    ],
)
def test_law_6_one_officer_pauses_every_scope_of_this_host(scope: Scope) -> None:
    rig = running()
    rig.order(rig.authority.pause(scope=scope, lapse_ms=HOUR_MS))
    assert reason(rig) == "pause.latched"


@pytest.mark.parametrize("scope", [OTHER_CLUSTER, Scope(ScopeKind.WORKLOAD, "run-8")])
def test_law_6_a_pause_of_another_scope_stops_nobody_here(scope: Scope) -> None:
    rig = running()
    rig.order(rig.authority.pause(scope=scope, lapse_ms=HOUR_MS))
    assert rig.run(10_000).state is LaneState.RUNNING


def test_law_6_a_pause_is_latched_before_anything_else_is_known_of_it() -> None:
    rig = running()
    pause = rig.authority.pause()
    actions = rig.core.order(rig.authority.name, pause, rig.now)
    assert isinstance(actions[0], KeepOrder)
    assert actions[0].digest == pause.digest


def test_law_6_a_pause_survives_a_restart() -> None:
    rig = running()
    rig.order(rig.authority.pause())
    rig.restart().run(20_000)
    assert reason(rig) == "pause.latched"
    assert rig.state is LaneState.HALTED


def test_law_6_a_pause_survives_a_reboot() -> None:
    rig = running()
    rig.order(rig.authority.pause())
    rig.restart(boot_id=bytes([9] * 16), away_ms=1_000).run(20_000)
    assert reason(rig) == "pause.latched"


def test_law_6_a_resume_lifts_what_it_lists_and_nothing_else() -> None:
    rig = running()
    first, second = rig.authority.pause(), rig.authority.pause()
    rig.order(first)
    rig.order(second)
    rig.run_until(LaneState.HALTED)
    rig.order(rig.authority.resume(first.digest))
    rig.run(10_000)
    assert reason(rig) == "pause.latched"
    rig.order(rig.authority.resume(second.digest))
    rig.run_until(LaneState.RUNNING)


def test_law_6_a_resume_survives_a_restart() -> None:
    rig = running()
    pause = rig.authority.pause()
    rig.order(pause)
    rig.order(rig.authority.resume(pause.digest))
    rig.restart().run_until(LaneState.RUNNING)


def test_law_6_a_lifted_pause_never_latches_again() -> None:
    rig = running()
    pause = rig.authority.pause()
    rig.order(rig.authority.resume(pause.digest))
    rig.order(pause)
    rig.run(10_000)
    assert rig.state is LaneState.RUNNING
    rig.restart()
    rig.order(pause)
    rig.run_until(LaneState.RUNNING)


def test_law_6_a_resume_below_the_quorum_is_refused() -> None:
    rig = running()
    pause = rig.authority.pause()
    rig.order(pause)
    with pytest.raises(ForgedError) as error:
        rig.order(rig.authority.resume(pause.digest, officers=1))
    assert error.value.code == "envelope.quorum"
    assert reason(rig) == "pause.latched"


def test_law_6_one_officer_who_signs_twice_is_no_quorum() -> None:
    rig = running()
    pause = rig.authority.pause()
    rig.order(pause)
    order = orders.resume(authority=rig.authority.name, lifts=(pause.digest,))
    twice = orders.sealed_order(order, [OFFICER_KEYS[0], OFFICER_KEYS[0], STRANGER_KEY])
    with pytest.raises(ForgedError):
        rig.order(twice)
    assert reason(rig) == "pause.latched"


def test_law_6_another_authority_cannot_lift_a_pause() -> None:
    home, other = GateAuthority("home.example"), GateAuthority("other.example")
    rig = running(home, other)
    pause = home.pause()
    rig.order(pause, home)
    rig.order(other.resume(pause.digest), other)
    rig.run(10_000)
    assert reason(rig) == "pause.latched"
    with pytest.raises(MisdirectedError):
        rig.order(other.resume(pause.digest), home)


def test_law_6_leaving_a_scope_lifts_nothing() -> None:
    rig = running()
    rig.order(rig.authority.pause())
    rig.authority.scopes = (EVERYTHING, OTHER_CLUSTER)
    rig.run(20_000)
    assert reason(rig) == "pause.latched"


def test_law_6_leaving_a_scope_lifts_nothing_after_a_restart_either() -> None:
    rig = running()
    rig.order(rig.authority.pause())
    rig.authority.scopes = (EVERYTHING, OTHER_CLUSTER)
    rig.run(20_000)
    rig.restart().run(20_000)
    assert rig.reports, "answers came and name the new cluster only"
    assert reason(rig) == "pause.latched"


def test_law_6_a_wide_pause_by_one_officer_must_carry_its_lapse() -> None:
    rig = running()
    with pytest.raises(ForgedError) as error:
        rig.order(rig.authority.pause(scope=EVERYTHING))
    assert error.value.code == "pause.lapse"
    assert reason(rig) == ""


def test_law_6_a_wide_pause_by_a_quorum_needs_none() -> None:
    rig = running()
    rig.order(rig.authority.pause(scope=EVERYTHING, officers=2))
    assert reason(rig) == "pause.latched"


def test_law_6_a_wide_pause_by_one_officer_lapses_within_what_policy_allows() -> None:
    rig = running()
    longest_ms = rig.authority.policy.pause_lapse_ms
    with pytest.raises(ForgedError) as error:
        rig.order(rig.authority.pause(scope=EVERYTHING, lapse_ms=longest_ms + 1))
    assert error.value.code == "pause.lapse"
    rig.order(rig.authority.pause(scope=EVERYTHING, lapse_ms=longest_ms))


def test_law_6_a_pause_lapses_by_gate_running_time_alone() -> None:
    rig = running()
    rig.order(rig.authority.pause(scope=EVERYTHING, lapse_ms=40_000))
    rig.wall_unix_ms += 10**12
    rig.run(39_000)
    assert reason(rig) == "pause.latched"
    rig.run(10_000)
    assert rig.state is LaneState.RUNNING


def test_law_6_time_without_a_gate_does_not_let_a_pause_lapse() -> None:
    rig = running()
    rig.order(rig.authority.pause(scope=EVERYTHING, lapse_ms=60_000))
    rig.run(20_000)
    rig.restart(away_ms=3_600_000).run(20_000)
    assert reason(rig) == "pause.latched"
    rig.run(60_000)
    assert rig.state is LaneState.RUNNING


def test_law_6_a_lapse_that_a_quorum_signed_holds_too() -> None:
    """As at the governor, which would else grant to hosts that stand."""
    rig = running()
    rig.order(rig.authority.pause(scope=EVERYTHING, lapse_ms=30_000, officers=2))
    rig.run(20_000)
    assert reason(rig) == "pause.latched"
    rig.run(20_000)
    assert rig.state is LaneState.RUNNING


def test_law_6_a_pause_that_an_answer_names_stops_until_the_order_arrives() -> None:
    rig = running()
    pause = rig.authority.pause()
    rig.authority.pauses = (pause.digest,)
    rig.run_until(LaneState.HALTED)
    assert reason(rig) == "pause.unseen"
    rig.run(30_000)
    assert reason(rig) == "pause.unseen"
    rig.order(pause)
    assert reason(rig) == "pause.latched"
    rig.order(rig.authority.resume(pause.digest))
    rig.authority.pauses = ()
    rig.run_until(LaneState.RUNNING)


def test_law_6_a_late_answer_names_pauses_all_the_same() -> None:
    rig = GateRig().enrol().run_until(LaneState.RUNNING)
    report = rig.reports[0]
    digest = bytes([7] * 32)
    rig.run(rig.authority.policy.lifetime_ms)
    rig.answer(rig.authority.answer(report, pauses=(digest,)))
    assert reason(rig) == "pause.unseen"


def test_law_6_no_permit_thaws_a_paused_lane() -> None:
    rig = running()
    rig.order(rig.authority.pause(emergency=True))
    thaws = len(rig.done(Thaw))
    rig.run(60_000)
    assert len(rig.done(Thaw)) == thaws


def test_law_6_a_pause_beside_a_bad_admission_is_kept() -> None:
    rig = running()
    authority = rig.authority
    pause = authority.pause()
    enrolment = rig.core.authorities[authority.name].enrolment
    assert enrolment is not None
    bad = authority.admission(enrolment, host_id=bytes(32))
    with pytest.raises(MisdirectedError):
        rig.core.admission(authority.name, bad, [pause], rig.now)
    rig.run(2_000)
    assert reason(rig) == "pause.latched"
    rig.restart().run(10_000)
    assert reason(rig) == "pause.latched"


def test_law_6_an_officer_who_left_the_root_pauses_no_more() -> None:
    rig = running()
    authority = rig.authority
    root = orders.trust_root(authority=authority.name, version=2)
    fewer = orders.trust_root(
        authority=authority.name,
        version=2,
        keys=root.keys[:2],
        roles=tuple(
            Role(name=role.name, threshold=role.threshold, keys=(0, 1)) for role in root.roles
        ),
    )
    rig.order(orders.sealed_order(fewer, OFFICER_KEYS[:2]))
    gone = orders.sealed_order(orders.pause(authority=authority.name), OFFICER_KEYS[2:])
    with pytest.raises(ForgedError):
        rig.order(gone)
    rig.restart()
    with pytest.raises(ForgedError):
        rig.order(gone)
