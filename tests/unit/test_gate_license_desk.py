"""Where a gate stands with the license and the reserve of one authority: the desk by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_agent.gate.authorities.license import (
    ASKED_MAX,
    Asked,
    License,
    LicenseDesk,
    Share,
    Standing,
)
from flopgate_agent.gate.authorities.told_time import ToldTime
from flopgate_proto.values import LicenseState, Refusal, SingleUse

W = "w1"
BEGIN_MS, END_MS, SPAN_MS = 1_000_000, 2_000_000, 600_000


def license_of(sequence: int = 5, *, reserve: bool = False) -> License:
    return License(
        request=bytes([sequence]) * 32,
        sequence=sequence,
        approval=bytes(32),
        batch_number=1,
        span_ms=SPAN_MS,
        step_ms=60_000,
        wind_down_ms=1_000,
        exempt=False,
        single_use=SingleUse.SOFTWARE,
        ceilings={W: 1_000},
        peaks={W: 10},
        not_before_unix_ms=BEGIN_MS,
        not_after_unix_ms=END_MS,
        reserve=reserve,
        opener_spkis=(),
        opener_threshold=0,
    )


def asked(sequence: int) -> Asked:
    return Asked(
        digest=bytes([sequence]) * 32,
        sequence=sequence,
        run_nonce=bytes(16),
        boot_id=bytes(16),
        made_ms=0,
        reserve=False,
        allotted={},
        told_unix_ms=0,
        running_ms=0,
    )


def desk_of(share: Share | None = None, *, reserve: bool = False, used_ms: int = 0) -> LicenseDesk:
    """One that holds a license, as the last run wrote it down."""
    standing = Standing().installed(license_of(reserve=reserve))
    if share is not None:
        standing = replace(standing, shares={W: share}, used_ms=used_ms)
    return LicenseDesk(standing, is_reserve=reserve)


def told(earliest_ms: int, latest_ms: int) -> ToldTime:
    return ToldTime(earliest_after_ms=earliest_ms, latest_after_ms=latest_ms)


# ---------------------------------------------------------------------- requests and floors


def test_of_requests_the_newest_wait() -> None:
    standing = Standing()
    for sequence in range(1, ASKED_MAX + 2):
        standing = standing.asks(asked(sequence))
    assert [one.sequence for one in standing.asked] == [*range(2, ASKED_MAX + 2)]


def test_law_5_no_floor_goes_back_and_what_lies_below_it_waits_no_more() -> None:
    standing = replace(Standing(floor=7), asked=tuple(asked(n) for n in (4, 5, 6, 8)))
    installed = standing.installed(license_of(5))
    assert installed.floor == 7
    assert [one.sequence for one in installed.asked] == [6, 8]
    over = standing.none("license.used-up", 6)
    assert (over.floor, [one.sequence for one in over.asked]) == (7, [8])
    over = standing.none("license.used-up", 8)
    assert (over.floor, over.asked) == (8, ())


# ---------------------------------------------------------------------- over a start


@pytest.mark.parametrize(
    ("reserved_tflop", "reported_tflop", "end_tflop"),
    [(300, 100, 800), (100, 100, 1_000), (100, 400, 1_000)],
)
def test_law_5_what_was_reserved_and_is_in_no_report_is_lost_and_nothing_is_won(
    reserved_tflop: int, reported_tflop: int, end_tflop: int
) -> None:
    desk = desk_of(Share(end_tflop=1_000, reserved_tflop=reserved_tflop))
    desk.resume({W: reported_tflop}, None, 0)
    assert desk.bound_tflop(W, reserved=False) == end_tflop


@pytest.mark.parametrize(
    ("reserved_tflop", "end_tflop"), [(200, 1_200), (199, 1_200), (201, 1_000), (500, 900)]
)
def test_law_5_what_others_let_run_takes_nothing_off_a_reserve(
    reserved_tflop: int, end_tflop: int
) -> None:
    share = Share(end_tflop=1_000, reserved_tflop=reserved_tflop, at_tflop=200)
    desk = desk_of(share, reserve=True)
    desk.resume({W: 400}, None, 0)
    assert desk.bound_tflop(W, reserved=False) == end_tflop
    assert desk.bound_tflop(W, reserved=True) == 400


def test_a_run_that_reserves_nothing_takes_nothing_off_at_the_next_start() -> None:
    share = Share(end_tflop=1_000, reserved_tflop=300)
    desk = desk_of(share)
    desk.resume({W: 100}, None, 0)
    assert desk.kept().shares == {W: share}
    mine = Share(end_tflop=800, reserved_tflop=150)
    desk.reserve(5, {W: mine}, 1)
    assert desk.kept().shares == {W: mine}
    desk = desk_of(share)
    desk.resume({W: 100}, None, 0)
    newer = Standing().installed(license_of(9))
    desk.become(newer, 1)
    assert desk.kept() is newer


# ---------------------------------------------------------------------- what reports say


def test_a_report_says_what_stood_when_its_figures_ended() -> None:
    desk = desk_of(Share(end_tflop=1_000, reserved_tflop=0))
    desk.reserve(50, {}, 10)
    for end_ms, used_ms in ((9, 0), (10, 50), (11, 50)):
        quote = desk.quote_at(end_ms)
        assert quote is not None
        assert quote.used_ms == used_ms


def test_an_orderly_stop_gives_back_what_reports_go_on_to_say() -> None:
    desk = desk_of(Share(end_tflop=1_000, reserved_tflop=0))
    desk.reserve(50, {}, 10)
    desk.reserve(20, {}, 20)
    quote = desk.quote_at(20)
    assert quote is not None
    assert (quote.used_ms, desk.standing.used_ms) == (50, 20)
    desk.become(Standing().installed(license_of(9)), 30)
    quote = desk.quote_at(30)
    assert quote is not None
    assert quote.used_ms == 0, "of another license"


def test_what_ran_by_the_one_before_uses_nothing_of_the_next() -> None:
    desk = desk_of()
    desk.in_use, desk.since_ms = True, 0
    desk.become(Standing().installed(license_of(9)), 100)
    assert desk.used_until(500) == 0
    desk.in_use, desk.since_ms = True, 500
    assert desk.used_until(700) == 200
    assert desk.used_until(400) == 0, "no time runs back"


def test_what_denies_is_written_down_where_it_changed() -> None:
    desk = desk_of()
    refusal = Refusal(reason="budget.spent", detail="x", way_back="y")
    assert desk.note_denials({W: refusal}, {bytes(32)})
    assert not desk.note_denials({W: refusal}, {bytes(32)})
    assert desk.note_denials({W: refusal}, ())
    assert not LicenseDesk().note_denials({W: refusal}, ())


# ---------------------------------------------------------------------- what it lets run


def test_a_license_begins_when_its_time_surely_came_and_ends_when_it_may_have() -> None:
    desk = desk_of()
    for earliest_ms, begun in ((BEGIN_MS - 1, False), (BEGIN_MS, True)):
        assert desk.begun(told(earliest_ms, END_MS), 0) is begun
    assert not desk.begun(None, 0)
    assert desk.left_ms(told(BEGIN_MS, END_MS - 7), 0, reserved=False) == 7
    assert desk.left_ms(told(BEGIN_MS, END_MS + 7), 0, reserved=False) == 0
    assert desk.left_ms(told(BEGIN_MS, BEGIN_MS), 0, reserved=False) == SPAN_MS
    assert desk.left_ms(told(BEGIN_MS, BEGIN_MS), 0, reserved=True) == 0, "nothing is reserved"


@pytest.mark.parametrize(
    ("state", "ended", "opens"),
    [
        (LicenseState.HELD, "", True),
        (LicenseState.OPENED, "", True),
        (LicenseState.SEALED, "", False),
        (LicenseState.HELD, "license.returned", False),
        (LicenseState.OPENED, "license.returned", False),
    ],
)
def test_what_is_sealed_or_given_back_lets_nothing_run(
    state: LicenseState, ended: str, *, opens: bool
) -> None:
    desk = desk_of()
    desk.standing = replace(desk.standing, state=state, ended=ended)
    assert desk.opens() is opens


def test_a_lane_that_can_do_more_than_it_was_given_for_is_outgrown() -> None:
    desk = desk_of()
    desk.note_peaks({W: 10, "other": 99})
    assert not desk.outgrown
    desk.note_peaks({W: 11})
    assert desk.outgrown == {W: 11}


# ---------------------------------------------------------------------- a reserve


def test_law_5_bounds_of_a_reserve_stand_while_it_is_drawn_and_that_is_written_down() -> None:
    desk = desk_of(Share(end_tflop=1_000, reserved_tflop=0), reserve=True)
    desk.become(desk.standing, 0)
    desk.move_along({W: 100})
    assert desk.standing.shares == {W: Share(end_tflop=1_100, reserved_tflop=100, at_tflop=100)}
    assert desk.stand_still({W: 100})
    assert desk.standing.shares == {W: Share(end_tflop=1_100, reserved_tflop=101, at_tflop=100)}
    assert not desk.stand_still({W: 300}), "it stands"
    assert desk.move_along({W: 300}), "its authority has its say again"
    assert desk.standing.shares == {W: Share(end_tflop=1_100, reserved_tflop=300, at_tflop=300)}


def test_law_5_of_several_bounds_none_is_lowered_when_a_reserve_is_drawn() -> None:
    desk = desk_of(reserve=True)
    shares = {
        W: Share(end_tflop=1_000, reserved_tflop=500, at_tflop=100),
        "w2": Share(end_tflop=1_000, reserved_tflop=100, at_tflop=100),
    }
    desk.standing = replace(desk.standing, shares=shares)
    desk.move_along({W: 100, "w2": 100})
    assert desk.stand_still({W: 100, "w2": 100})
    assert desk.bound_tflop(W, reserved=True) == 500
    assert desk.bound_tflop("w2", reserved=True) == 101


def test_what_is_reserved_of_a_reserve_is_let_go_when_others_let_all_run_again() -> None:
    share = Share(end_tflop=1_000, reserved_tflop=500, at_tflop=100)
    for last, drawn in (({W}, False), (set[str](), True)):
        desk = desk_of(share, reserve=True)
        desk.last_let_run, desk.drawn = last, drawn
        assert not desk.release()
        assert desk.standing.shares == {W: share}
    desk = desk_of(share, reserve=True)
    assert desk.release()
    assert desk.bound_tflop(W, reserved=True) == 100
    assert not desk.release()
