"""Several authorities: one chain, one request, and the least of what all of them gave."""

from __future__ import annotations

import pytest

from flopgate_agent import ledger
from flopgate_agent.gate.actions import KeepQuote, Notify
from flopgate_agent.gate.lanes.allowance import Allowed, Denied
from flopgate_agent.gate.settings import TFLOP
from flopgate_proto.codec import decode_enrolment
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import MisdirectedError
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import LaneState, Refusal, Report, Verdict
from tests.support.fixed import COURIER_KEY, WORKLOAD
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


def test_law_2_nothing_runs_between_two_admissions() -> None:
    """What ran under the first alone would count for the second, which never granted it."""
    home, world = pair()
    rig = GateRig(home, world)
    rig.hardware.start(pid=1)
    rig.admit(home, rig.ask(home))
    rig.run(60_000)
    assert rig.state is LaneState.HALTED
    assert (denied(rig).reason, denied(rig).authority) == ("authority.awaited", world.name)
    assert rig.lane.book.allotted_flop == 0
    rig.admit(world, rig.ask(world))
    rig.run_until(LaneState.RUNNING)


def test_a_join_that_was_taken_back_rules_no_more() -> None:
    home, world = pair()
    rig = GateRig(home, world)
    rig.ask(world)
    rig.admit(home, rig.ask(home))
    assert set(rig.core.authorities) == {home.name, world.name}
    del rig.authorities[world.name]
    rig.restart().run_until(LaneState.RUNNING)
    assert set(rig.core.authorities) == {home.name}


def joined_later() -> tuple[GateRig, GateAuthority, Envelope]:
    """A host that worked for one authority, and asks a second one for admission."""
    home, world = pair()
    rig = running(home).run(60_000)
    rig.authorities[world.name] = world
    rig.restart().run(1_000)
    return rig, world, rig.ask(world)


def test_law_2_an_authority_joined_later_counts_from_then() -> None:
    rig, world, asked = joined_later()
    enrolment = decode_enrolment(asked.payload)
    (totals,) = enrolment.lanes
    assert totals.allotted_tflop == rig.lane.book.allotted_tflop > 0
    assert totals.unaccounted_tflop == rig.lane.book.unaccounted_tflop
    assert enrolment.sequence == rig.last_report().sequence
    assert enrolment.head == rig.reports[-1].digest
    rig.run(1_000)
    rig.admit(world, asked)
    (reported,) = rig.last_report().lanes
    assert reported.total.high_tflop >= totals.total.high_tflop
    rig.run_until(LaneState.RUNNING)


def test_an_authority_joined_later_is_sent_nothing_older() -> None:
    rig, world, asked = joined_later()
    sequence = decode_enrolment(asked.payload).sequence
    rig.network = lambda _authority, _report: None
    rig.admit(world, asked)
    known = rig.core.authorities[world.name]
    assert known.acknowledged_sequence == sequence
    rig.restart()
    assert rig.core.authorities[world.name].acknowledged_sequence == sequence


def test_an_enrolment_that_awaits_its_answer_stays_good_in_the_next_boot() -> None:
    """A new one would make the answer void that is on its way, and no other would ever come."""
    rig, world, asked = joined_later()
    rig.restart(boot_id=bytes([9] * 16)).run(60_000)
    assert rig.ask(world) == asked
    rig.admit(world, asked)
    rig.run_until(LaneState.RUNNING)


def test_reports_that_an_awaited_authority_will_need_are_kept() -> None:
    rig, _world, asked = joined_later()
    sequence = decode_enrolment(asked.payload).sequence
    rig.run(60_000)
    quotes = [one for one in rig.done(KeepQuote) if isinstance(one, KeepQuote)]
    assert quotes[-1].acknowledged_sequence > sequence
    assert quotes[-1].needless_sequence == sequence


def test_law_9_no_enrolment_names_a_report_that_was_not_kept() -> None:
    """The ledger refuses a report, and the gate goes on from a chain that is in no ledger."""
    home, world = pair()
    rig = running(home).run(10_000)
    rig.authorities[world.name] = world
    rig.restart().run(1_000)
    rig.carry_out(rig.core.fault("ledger.failed", "disk full", "Free space.", rig.now))
    assert rig.core.enrol(world.name, COURIER_KEY.spki, rig.now) == []
    assert rig.core.authorities[world.name].enrolment is None


def test_law_3_asking_a_second_authority_forgets_nothing_for_the_first() -> None:
    home, world = pair()
    rig = GateRig(home, world)
    rig.hardware.start(pid=1)
    asked = rig.ask(home)
    rig.run(60_000)
    booked_flop = rig.lane.book.unaccounted_flop
    rig.ask(world)
    rig.admit(home, asked)
    assert rig.lane.book.unaccounted_flop >= booked_flop > 0


def test_law_4_an_enrolment_names_the_books_of_a_durable_report() -> None:
    """Killed right after it asked, the gate goes on from that report, and its chain must hold."""
    home, world = pair()
    rig = GateRig(home, world)
    rig.hardware.start(pid=1)
    rig.ask(home)
    rig.run(150_500)
    enrolment = decode_enrolment(rig.ask(world).payload)
    last = rig.last_report()
    assert (enrolment.sequence, enrolment.head) == (last.sequence, rig.reports[-1].digest)
    assert [one.total for one in enrolment.lanes] == [lane.total for lane in last.lanes]
    total = rig.lane.book.total
    assert total.low > enrolment.lanes[0].total.low_tflop * TFLOP, "work went on since"
    rig.restart().run(1_000)
    assert rig.last_report().sequence == enrolment.sequence + 1
    (lane,) = rig.last_report().lanes
    assert lane.total.low_tflop >= enrolment.lanes[0].total.low_tflop


def test_law_4_whichever_enrolment_was_admitted_stands() -> None:
    """The answer to the first statement was lost; the courier lost its key and made a new one."""
    rig, world, first = joined_later()
    rig.run(200_000)
    second = rig.ask(world, courier=SigningKey.from_scalar(0x2002))
    assert second != first
    one, other = decode_enrolment(first.payload), decode_enrolment(second.payload)
    assert (one.sequence, one.head, one.lanes) == (other.sequence, other.head, other.lanes)
    rig.restart(boot_id=bytes([9] * 16)).run(1_000)
    rig.admit(world, first)
    assert rig.core.authorities[world.name].acknowledged_sequence == one.sequence
    rig.run_until(LaneState.RUNNING)


def test_a_join_made_again_starts_from_reports_that_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "KEEP_ACKNOWLEDGED", 1)
    rig, world, first = joined_later()
    del rig.authorities[world.name]
    rig.restart().run(60_000)
    rig.authorities[world.name] = world
    rig.restart().run(1_000)
    again = decode_enrolment(rig.ask(world).payload)
    assert again.sequence > decode_enrolment(first.payload).sequence
    assert again.head == rig.reports[-1].digest
    with pytest.raises(MisdirectedError, match="another host, authority or enrolment"):
        rig.admit(world, first)


def test_a_join_of_another_authority_starts_from_a_report_of_then() -> None:
    """What ran while the first join waited, and was taken back, is none of the second one's."""
    home, world = pair()
    rig = GateRig(home)
    rig.hardware.start(pid=1)
    rig.ask(home)
    rig.run(200_000)
    rig.authorities = {world.name: world}
    rig.restart().run(30_500)
    enrolment = decode_enrolment(rig.ask(world).payload)
    last = rig.last_report()
    assert (enrolment.sequence, enrolment.head) == (last.sequence, rig.reports[-1].digest)
    assert last.made_ms == rig.now_ms
    assert [one.total for one in enrolment.lanes] == [lane.total for lane in last.lanes]
    assert enrolment.lanes[0].total.nominal_tflop > 0
