"""Several authorities: who has a say, and that none loses it without itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_agent.gate.actions import KeepQuote, Tell
from flopgate_agent.gate.authorities.ordering import due_ms
from flopgate_agent.gate.authorities.seats import ruling
from flopgate_agent.gate.lanes.allowance import Denied
from flopgate_agent.ledger_bounds import KEEP_ACKNOWLEDGED
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ForgedError, HistoryError
from flopgate_proto.values import LaneState, Seat, Standing
from tests.support import further_orders, orders
from tests.support.fixed import OFFICER_KEYS, WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, at_once, cut, running
from tests.unit.test_gate_authorities import pair, refuse

FALLBACK_MS = 300_000


def seats(by: GateAuthority, *recipients: GateAuthority, version: int = 1) -> Envelope:
    """``by`` says that these only receive."""
    order = further_orders.seats(
        authority=by.name,
        version=version,
        seats=tuple(Seat(authority=one.name, standing=Standing.RECIPIENT) for one in recipients),
    )
    return orders.sealed_order(order)


def demote(rig: GateRig, whom: GateAuthority, *by: GateAuthority, version: int = 1) -> None:
    for one in by:
        rig.order(seats(one, whom, version=version), one)


def has_say(rig: GateRig, authority: GateAuthority) -> bool:
    rule = ruling(rig.core.authorities.values(), rig.core.running_ms)
    return authority.name in {one.name for one in rule}


def test_law_6_no_authority_is_demoted_by_another() -> None:
    home, world = pair()
    rig = running(home, world)
    demote(rig, world, home)
    refuse(world)
    rig.run_until(LaneState.HALTED)
    permission = rig.core.permissions[WORKLOAD]
    assert isinstance(permission, Denied)
    assert permission.authority == world.name


def test_law_6_nor_by_itself_alone() -> None:
    home, world = pair()
    rig = running(home, world)
    demote(rig, world, world)
    assert has_say(rig, world)


def test_what_all_agree_on_holds_and_outlives_a_restart() -> None:
    home, world = pair()
    rig = running(home, world)
    demote(rig, world, home, world)
    refuse(world)
    rig.order(world.pause(), world)
    assert rig.run(60_000).state is LaneState.RUNNING
    rig.restart().run(60_000)
    assert not has_say(rig, world)
    assert rig.state is LaneState.RUNNING


def test_a_recipient_still_gets_every_report_and_holds_none_back() -> None:
    home, world = pair()
    rig = running(home, world)
    demote(rig, world, home, world)
    rig.network = lambda authority, report: (cut if authority is world else at_once)(
        authority, report
    )
    rig.run(60_000)
    assert {quote.authority for quote in rig.last_report().quotes} == {home.name, world.name}
    assert rig.state is LaneState.RUNNING
    kept = rig.done(KeepQuote)[-1]
    assert isinstance(kept, KeepQuote)
    assert kept.needless_sequence > rig.core.chain.sequence - 5
    lacks_from = rig.core.authorities[world.name].acknowledged_sequence + 1
    assert kept.held_sequence == lacks_from - 1 < kept.needless_sequence - 5


def test_who_has_its_say_back_lacks_no_report_that_the_ledger_has_room_for() -> None:
    home, world = pair()
    rig = running(home, world)
    demote(rig, world, home, world)
    rig.network = lambda authority, report: (cut if authority is world else at_once)(
        authority, report
    )
    rig.run(60_000)
    lacks_from = rig.core.authorities[world.name].acknowledged_sequence + 1
    last = rig.done(KeepQuote)[-1]
    assert isinstance(last, KeepQuote)
    # As if the host had run on like this for a week: far more than is kept for people to look at.
    rig.ledger.keep(replace(last, needless_sequence=last.needless_sequence + KEEP_ACKNOWLEDGED))
    rig.order(seats(home, version=2), home)
    assert has_say(rig, world)
    assert [number for number, _ in rig.ledger.reports(lacks_from, 1)] == [lacks_from]


def test_a_seat_is_given_back_at_once() -> None:
    home, world = pair()
    rig = running(home, world)
    demote(rig, world, home, world)
    rig.order(seats(home, version=2), home)
    assert has_say(rig, world)


def test_where_nobody_would_rule_all_do() -> None:
    home, world = pair()
    rig = running(home, world)
    for one in (home, world):
        rig.order(seats(one, home, world), one)
    assert has_say(rig, home)
    assert has_say(rig, world)


def test_an_older_version_of_the_seats_is_refused() -> None:
    home, world = pair()
    rig = running(home, world)
    rig.order(seats(home, world, version=3), home)
    with pytest.raises(HistoryError, match=r"order\.version"):
        rig.core.order(home.name, seats(home, version=2), rig.now)


def test_one_officer_seats_nobody() -> None:
    home, world = pair()
    rig = running(home, world)
    order = orders.sealed_order(further_orders.seats(authority=home.name), OFFICER_KEYS[:1])
    with pytest.raises(ForgedError):
        rig.core.order(home.name, order, rig.now)


def gave_fallback(home: GateAuthority, world: GateAuthority, *, by_home: bool = True) -> GateRig:
    """World signed a fallback; home says that it only receives; world is cut off from now on."""
    rig = running(home, world)
    order = further_orders.seats(authority=world.name, seats=(), fallback_ms=FALLBACK_MS)
    rig.order(orders.sealed_order(order), world)
    if by_home:
        demote(rig, world, home)
    rig.network = lambda authority, report: (cut if authority is world else at_once)(
        authority, report
    )
    return rig


def told(rig: GateRig, event: str) -> list[int]:
    return [at_ms for at_ms, one in rig.actions if isinstance(one, Tell) and one.event == event]


def test_a_fallback_counts_once_its_authority_was_silent_for_so_long() -> None:
    home, world = pair()
    rig = gave_fallback(home, world)
    heard_ms = rig.core.running_ms
    rig.run_until(LaneState.HALTED)
    rig.run(heard_ms + FALLBACK_MS - rig.core.running_ms - 10_000)
    assert has_say(rig, world)
    permission = rig.core.permissions[WORKLOAD]
    assert isinstance(permission, Denied)
    assert permission.authority == world.name
    assert not told(rig, "authority.fallback")
    assert rig.run(60_000).state is LaneState.RUNNING
    assert not has_say(rig, world)
    assert len(told(rig, "authority.fallback")) == 1


def test_the_silence_is_counted_over_restarts() -> None:
    home, world = pair()
    rig = gave_fallback(home, world)
    heard_ms = rig.core.running_ms
    rig.run(FALLBACK_MS // 2)
    rig = rig.restart()
    rig.network = lambda authority, _report: None if authority.name == world.name else 10
    rig.run(heard_ms + FALLBACK_MS - rig.core.running_ms - 10_000)
    assert has_say(rig, world)
    rig.run(20_000)
    assert not has_say(rig, world)


@pytest.mark.parametrize("brought", ["an old admission", "courier keys"])
def test_no_courier_keeps_a_silent_authority_from_having_been_silent(brought: str) -> None:
    """One whose certificate ran out asks for another, again and again, while nobody answers."""
    home, world = pair()
    rig = gave_fallback(home, world)
    heard_ms = rig.core.running_ms
    enrolment = rig.core.authorities[world.name].enrolment
    assert enrolment is not None
    admission = world.admission(enrolment)
    for _ in range(2):
        rig.run(FALLBACK_MS // 4)
        if brought == "courier keys":
            rig.ask(world)
        else:
            rig.carry_out(rig.core.admission(world.name, admission, [], rig.now))
    if brought == "courier keys":
        rig = rig.restart()
        rig.network = lambda authority, _report: None if authority.name == world.name else 10
    rig.run(heard_ms + FALLBACK_MS - rig.core.running_ms - 10_000)
    assert has_say(rig, world)
    rig.run(20_000)
    assert not has_say(rig, world)


def test_who_speaks_again_rules_again_and_lacks_no_report() -> None:
    home, world = pair()
    rig = gave_fallback(home, world)
    rig.run(FALLBACK_MS + 60_000)
    assert not has_say(rig, world)
    kept = rig.done(KeepQuote)[-1]
    assert isinstance(kept, KeepQuote)
    assert kept.needless_sequence <= rig.core.authorities[world.name].acknowledged_sequence
    refuse(world)
    rig.network = at_once
    rig.run_until(LaneState.HALTED)
    assert has_say(rig, world)
    assert len(told(rig, "authority.rules-again")) == 1


@pytest.mark.parametrize("case", ["nobody agrees", "paused", "not signed"])
def test_law_6_a_fallback_takes_no_more_than_was_signed(case: str) -> None:
    home, world = pair()
    rig = gave_fallback(home, world, by_home=case != "nobody agrees")
    match case:
        case "paused":
            rig.order(world.pause(lapse_ms=10 * FALLBACK_MS), world)
        case "not signed":
            # What one signed for itself says nothing of another.
            demote(rig, home, world, version=2)
            rig.network = lambda authority, _report: None if authority is home else 10
    rig.run(2 * FALLBACK_MS)
    assert has_say(rig, home if case == "not signed" else world)
    assert rig.state is LaneState.HALTED


def test_the_gate_wakes_when_a_fallback_begins_to_count() -> None:
    home, world = pair()
    rig = gave_fallback(home, world)
    authority = rig.core.authorities[world.name]
    falls_ms = authority.falls_running_ms()
    assert falls_ms is not None
    times = {"now_ms": rig.core.elapsed_ms, "running_ms": rig.core.running_ms}
    wakes = due_ms(rig.core.authorities.values(), **times)
    assert wakes == [rig.core.elapsed_ms + falls_ms - rig.core.running_ms]
