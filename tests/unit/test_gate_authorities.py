"""Several authorities: one chain, one request, and the least of what all of them gave."""

from __future__ import annotations

from flopgate_agent.gate.actions import Notify
from flopgate_agent.gate.allowance import Allowed, Denied
from flopgate_proto.values import LaneState, Refusal, Report, Verdict
from tests.support.fixed import WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, at_once, running


def pair() -> tuple[GateAuthority, GateAuthority]:
    return GateAuthority("home.example"), GateAuthority("world.example")


def refuse(authority: GateAuthority) -> None:
    outcome = Refusal(reason="budget.spent", detail="spent", way_back="Ask for more.")
    authority.refuses = {WORKLOAD: Verdict(workload=WORKLOAD, outcome=outcome)}


def denied(rig: GateRig) -> Denied:
    permission = rig.core.permissions[WORKLOAD]
    assert isinstance(permission, Denied)
    return permission


def test_the_least_ceiling_and_the_shortest_life_rule() -> None:
    home, world = pair()
    home.ceiling_tflop, world.ceiling_tflop = 90_000, 70_000
    home.terms, world.terms = {"lifetime_ms": 18_000}, {"wind_down_ms": 5_000}
    rig = running(home, world)
    allowed = rig.core.permissions[WORKLOAD]
    assert isinstance(allowed, Allowed)
    assert (allowed.ceiling_tflop, allowed.ceiling_by) == (70_000, world.name)
    assert allowed.until_by == home.name
    assert allowed.wind_down_ms == 5_000
    lives = [known.permit for known in rig.core.authorities.values()]
    assert allowed.until_ms == min(p.made_ms + p.lifetime_ms for p in lives if p is not None)


def test_one_refusal_stops() -> None:
    home, world = pair()
    rig = running(home, world)
    refuse(world)
    rig.run_until(LaneState.HALTED)
    assert denied(rig).authority == world.name


def test_a_refusal_from_the_start_never_thaws() -> None:
    home, world = pair()
    refuse(world)
    rig = GateRig(home, world)
    rig.hardware.start(pid=1)
    rig.enrol().run(60_000)
    assert rig.state is LaneState.HALTED


def test_law_1_one_authority_out_of_reach_ends_by_its_permit() -> None:
    home, world = pair()
    rig = running(home, world)

    def without_world(authority: GateAuthority, report: Report) -> int | None:
        return None if authority is world else at_once(authority, report)

    rig.network = without_world
    rig.run(60_000)
    assert rig.state is LaneState.HALTED
    assert not rig.work_since(rig.deadline_ms)
    assert denied(rig).authority == world.name
    rig.network = at_once
    rig.run_until(LaneState.RUNNING)


def test_law_1_an_emergency_of_one_does_not_wait_for_the_wind_down_of_another() -> None:
    home, world = pair()
    rig = running(home, world)
    rig.order(home.pause(), home)
    assert rig.done(Notify)
    rig.order(world.pause(emergency=True), world)
    assert rig.state is LaneState.FROZEN
    assert denied(rig).authority == world.name


def test_law_6_each_authority_lifts_its_own_pause() -> None:
    home, world = pair()
    rig = running(home, world)
    ours, theirs = home.pause(), world.pause()
    rig.order(ours, home)
    rig.order(theirs, world)
    rig.order(home.resume(ours.digest), home)
    rig.run(20_000)
    assert rig.state is LaneState.HALTED
    rig.order(world.resume(theirs.digest), world)
    rig.run_until(LaneState.RUNNING)


def test_reports_quote_every_authority() -> None:
    home, world = pair()
    rig = running(home, world).run(20_000)
    quotes = {quote.authority: quote for quote in rig.last_report().quotes}
    assert set(quotes) == {home.name, world.name}
    assert all(quote.grant for quote in quotes.values())


def test_the_longest_drain_and_the_strictest_watchdog_rule() -> None:
    home, world = pair()
    rig = running(home, world)
    rig.order(world.policy_order(watchdog_ms=6_000), world)
    rig.silent = True
    silent_ms = rig.now_ms
    rig.run_until(LaneState.FROZEN)
    assert rig.now_ms - silent_ms <= 10_001 + rig.settings.sample_interval_ms
    assert denied(rig).reason == "driver.silent"


def test_an_exempt_permit_is_metered_and_ends() -> None:
    authority = GateAuthority()
    authority.terms = {"exempt": True, "lifetime_ms": 60_000}
    rig = GateRig(authority)
    rig.hardware.start(pid=1)
    rig.enrol().run_until(LaneState.EXEMPT)
    rig.run(5_000)
    assert rig.lane.book.allotted_flop > 0
    rig.network = lambda _authority, _report: None
    rig.run(120_000)
    assert rig.state is LaneState.HALTED
    assert not rig.work_since(rig.deadline_ms)


def test_an_exempt_ceiling_holds() -> None:
    authority = GateAuthority()
    authority.terms = {"exempt": True, "lifetime_ms": 60_000}
    authority.ceiling_tflop = 40_000
    rig = GateRig(authority)
    rig.hardware.start(pid=1)
    rig.enrol().run_until(LaneState.EXEMPT)
    rig.run(200_000)
    assert rig.state is LaneState.HALTED
    assert rig.lane.book.allotted_tflop <= 40_000


def test_law_2_a_ceiling_that_ends_gives_the_wind_down_and_says_so() -> None:
    authority = GateAuthority()
    authority.terms = {"exempt": True, "lifetime_ms": 60_000}
    authority.ceiling_tflop = 50_000
    rig = GateRig(authority).enrol().run_until(LaneState.EXEMPT)
    rig.hardware.start(pid=1)
    rig.run_until(LaneState.WINDING_DOWN)
    wind_down_ms, since_ms = authority.policy.wind_down_ms, rig.now_ms
    notice = Notify(workload=WORKLOAD, pids=(1,), left_ms=wind_down_ms)
    assert rig.done(Notify) == [notice], "not the rest of the permit's minute"
    rig.run(30_000)
    assert rig.work_since(since_ms + wind_down_ms - 500), "the whole of it is given"
    assert not rig.work_since(since_ms + wind_down_ms + 100)


def test_exempt_needs_every_authority() -> None:
    home, world = pair()
    home.terms = {"exempt": True}
    assert running(home, world).state is LaneState.RUNNING
