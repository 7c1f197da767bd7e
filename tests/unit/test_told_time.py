"""What time it is, as far as answers tell: good ones, and those to reports of long ago."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.authorities.told_time import (
    BEHIND_PPM,
    BEHIND_SLACK_MS,
    LAST_UNIX_MS,
    OLD_MS,
    ClockBound,
    ToldTime,
)
from flopgate_agent.gate.memory import Moment, StoredAuthority, StoredTime
from flopgate_proto.limits import COUNT_MAX

UNIX_MS = 1_800_000_000_000
"""The true time at host elapsed time 0."""
HOUR_MS = 3_600_000


def good(at_ms: int, before: ToldTime | None = None) -> ToldTime:
    """An answer that took two seconds, told halfway."""
    return ToldTime.heard(
        UNIX_MS + at_ms - 1_000, made_ms=at_ms - 2_000, received_ms=at_ms, before=before
    )


def old(at_ms: int, age_ms: int, before: ToldTime | None) -> ToldTime:
    """An answer of just now to a report of long ago."""
    return ToldTime.heard(
        UNIX_MS + at_ms - 1_000, made_ms=at_ms - age_ms, received_ms=at_ms, before=before
    )


def width_ms(told: ToldTime, now_ms: int) -> int:
    return told.latest_unix_ms(now_ms) - told.earliest_unix_ms(now_ms)


def test_what_piled_up_in_an_outage_brings_no_date_forward() -> None:
    told = good(10_000)
    now_ms = 10 * HOUR_MS
    for age_ms in (10 * HOUR_MS, 5 * HOUR_MS, HOUR_MS):
        told = old(now_ms, age_ms, told)
        assert width_ms(told, now_ms) <= 2_000
        assert told.latest_unix_ms(now_ms) >= UNIX_MS + now_ms
    told = good(now_ms + 3_000, told)
    assert told.waits_until_ms == 0


def test_the_first_time_that_is_told_badly_counts_from_when_it_was_told() -> None:
    told = old(HOUR_MS, HOUR_MS, None)
    assert width_ms(told, HOUR_MS) == 0
    assert width_ms(told, HOUR_MS + OLD_MS) == HOUR_MS


def test_bad_answers_one_after_the_other_prolong_nothing() -> None:
    told = old(HOUR_MS, HOUR_MS, good(10_000))
    until_ms = told.waits_until_ms
    assert until_ms == HOUR_MS + OLD_MS
    for at_ms in range(HOUR_MS, HOUR_MS + 4 * OLD_MS, OLD_MS // 2):
        told = old(at_ms, HOUR_MS, told)
        assert told.waits_until_ms == until_ms
    assert width_ms(told, until_ms + OLD_MS) >= HOUR_MS - 1_000


def test_a_date_that_came_while_a_good_answer_was_waited_for_stays_passed() -> None:
    told = old(HOUR_MS, HOUR_MS, good(10_000))
    now_ms = HOUR_MS + OLD_MS - 1
    before_ms = told.latest_unix_ms(now_ms)
    assert old(now_ms, HOUR_MS, told).latest_unix_ms(now_ms) >= before_ms


ANSWERS = st.lists(st.tuples(st.integers(0, HOUR_MS), st.integers(0, 4 * HOUR_MS)), max_size=8)


@given(answers=ANSWERS)
def test_honest_answers_never_tell_a_time_that_cannot_be(answers: list[tuple[int, int]]) -> None:
    told, now_ms = good(10_000), 10_000
    for wait_ms, age_ms in answers:
        now_ms += wait_ms
        told = ToldTime.heard(
            UNIX_MS + now_ms, made_ms=now_ms - age_ms, received_ms=now_ms, before=told
        )
        for later_ms in (0, OLD_MS, HOUR_MS):
            at_ms = now_ms + later_ms
            assert told.earliest_unix_ms(at_ms) <= UNIX_MS + at_ms <= told.latest_unix_ms(at_ms)


def behind_ms(authority: Authority, at_ms: int, held_back_ms: int = 0, age_ms: int = 0) -> int:
    """An answer of just now, on a host whose boot clock was held back so far."""
    return authority.hear_clock(
        UNIX_MS + at_ms + held_back_ms, made_ms=at_ms - age_ms, received_ms=at_ms
    )


def authority(stored_at: Moment | None = None, told_late_ms: int = 0) -> Authority:
    """One that told the time at a moment, and was kept with it."""
    if stored_at is None:
        return Authority(StoredAuthority(name="home.example"))
    unix_ms = UNIX_MS + stored_at.elapsed_ms
    time = StoredTime(earliest_unix_ms=unix_ms, latest_unix_ms=unix_ms + told_late_ms, at=stored_at)
    return Authority(StoredAuthority(name="home.example", time=time))


def test_a_boot_clock_that_was_held_back_is_proven_behind_once() -> None:
    home = authority()
    assert behind_ms(home, 10_000) == 0
    assert behind_ms(home, 20_000, BEHIND_SLACK_MS) == 0
    assert behind_ms(home, 30_000, 2 * BEHIND_SLACK_MS) > BEHIND_SLACK_MS
    assert behind_ms(home, 40_000, 2 * BEHIND_SLACK_MS) == 0


def test_an_answer_that_was_long_on_its_way_makes_no_bound_looser() -> None:
    home = authority()
    behind_ms(home, 10_000)
    assert behind_ms(home, 20_000, age_ms=HOUR_MS) == 0
    assert behind_ms(home, 30_000, held_back_ms=60_000) > 50_000


def test_what_the_ledger_knows_bounds_the_clock_of_the_same_boot_alone() -> None:
    boot, later = (
        Moment(boot_id=boot_id, elapsed_ms=20_000, running_ms=20_000) for boot_id in (b"1", b"2")
    )
    kept = Moment(boot_id=b"1", elapsed_ms=10_000, running_ms=10_000)
    same, other = authority(kept), authority(kept)
    same.resume_time(boot)
    other.resume_time(later)
    assert behind_ms(same, 20_000, held_back_ms=60_000) > 50_000
    assert behind_ms(other, 20_000, held_back_ms=60_000) == 0


@given(answers=ANSWERS, drift_ppm=st.integers(-500, 500), ahead_ms=st.integers(0, HOUR_MS))
def test_no_honest_clock_is_accused(
    answers: list[tuple[int, int]], drift_ppm: int, ahead_ms: int
) -> None:
    """However late answers are, and however far the authority's own clock is off, if it keeps."""
    home, true_ms = authority(), 10_000
    for wait_ms, age_ms in answers:
        true_ms += wait_ms
        host_ms = true_ms + true_ms * drift_ppm // 1_000_000
        told_ms = UNIX_MS + ahead_ms + true_ms
        assert home.hear_clock(told_ms, made_ms=host_ms - age_ms, received_ms=host_ms) == 0


@given(
    wait_ms=st.integers(1_000, HOUR_MS),
    held_back_ms=st.integers(2 * BEHIND_SLACK_MS, 24 * HOUR_MS),
    age_ms=st.integers(0, 5_000),
)
def test_whatever_exceeds_drift_and_slack_is_told(
    wait_ms: int, held_back_ms: int, age_ms: int
) -> None:
    home = authority()
    behind_ms(home, 10_000, age_ms=age_ms)
    told_ms = behind_ms(home, 10_000 + wait_ms, held_back_ms)
    least_ms = held_back_ms - age_ms - wait_ms * BEHIND_PPM // 1_000_000
    assert told_ms == (least_ms if least_ms > BEHIND_SLACK_MS else 0)


def test_an_answer_to_a_report_that_is_just_not_old_counts_at_once() -> None:
    at_ms = HOUR_MS
    told = ToldTime.heard(UNIX_MS, made_ms=at_ms - OLD_MS, received_ms=at_ms, before=None)
    assert told.waits_until_ms == 0
    assert width_ms(told, at_ms) == OLD_MS
    later = ToldTime.heard(UNIX_MS, made_ms=at_ms - OLD_MS - 1, received_ms=at_ms, before=None)
    assert later.waits_until_ms == at_ms + OLD_MS
    # In the last moment of the wait nothing is later yet, in the next one it is.
    assert width_ms(later, at_ms + OLD_MS - 1) == 0
    assert width_ms(later, at_ms + OLD_MS) == OLD_MS + 1


def test_a_later_time_that_is_told_badly_counts_at_once_as_the_earliest() -> None:
    told = good(10_000)
    now_ms = 2 * HOUR_MS
    unix_ms = UNIX_MS + now_ms + HOUR_MS
    told = ToldTime.heard(unix_ms, made_ms=now_ms - HOUR_MS, received_ms=now_ms, before=told)
    assert told.earliest_unix_ms(now_ms) == told.latest_unix_ms(now_ms) == unix_ms


def test_no_time_is_told_that_what_keeps_it_does_not_hold() -> None:
    here = Moment(boot_id=b"1", elapsed_ms=7, running_ms=7)
    heard = ToldTime.heard(COUNT_MAX, made_ms=5, received_ms=7, before=None)
    for told in (heard, ToldTime.raised(COUNT_MAX, 7, None), ToldTime.raised(COUNT_MAX, 7, heard)):
        assert told.earliest_unix_ms(7) == LAST_UNIX_MS
        assert told.stored(here).latest_unix_ms <= LAST_UNIX_MS + 2


def test_a_floor_raises_every_bound_also_while_a_good_answer_is_waited_for() -> None:
    now_ms = 2 * HOUR_MS
    told = old(now_ms, HOUR_MS, good(10_000))
    assert told.waits_until_ms > now_ms
    unix_ms = UNIX_MS + now_ms + 10 * HOUR_MS
    told = ToldTime.raised(unix_ms, now_ms, told)
    for later_ms in (0, OLD_MS):
        at_ms = now_ms + later_ms
        assert told.earliest_unix_ms(at_ms) == told.latest_unix_ms(at_ms) == unix_ms + later_ms
    assert ToldTime.raised(UNIX_MS, now_ms, told) == told


def test_every_moment_at_which_a_date_may_have_come_is_named() -> None:
    now_ms = 2 * HOUR_MS
    told = old(now_ms, HOUR_MS, good(10_000))
    date_ms = UNIX_MS + now_ms + HOUR_MS
    assert told.waits_until_ms in told.changes_ms(date_ms)
    for bound in (told.earliest_unix_ms, told.latest_unix_ms):
        # While it is waited for, and afterwards.
        for at_ms in (now_ms, now_ms + OLD_MS):
            assert at_ms + date_ms - bound(at_ms) in told.changes_ms(date_ms)


@pytest.mark.parametrize(
    ("boot_id", "elapsed_ms", "running_ms", "least_ms", "passed_ms"),
    [
        (b"1", 60_000, 20_000, 0, 50_000),
        (b"1", 15_000, 40_000, 0, 30_000),
        (b"2", 90_000, 40_000, 0, 30_000),
        (b"2", 90_000, 40_000, 70_000, 60_000),
        (b"2", 90_000, 70_000, 40_000, 60_000),
        (b"2", 5, 9_000, 0, 0),
    ],
)
def test_over_a_start_as_much_passed_as_anything_shows(
    boot_id: bytes, elapsed_ms: int, running_ms: int, least_ms: int, passed_ms: int
) -> None:
    kept = Moment(boot_id=b"1", elapsed_ms=10_000, running_ms=10_000)
    stored = StoredTime(earliest_unix_ms=UNIX_MS, latest_unix_ms=UNIX_MS + 5, at=kept)
    now = Moment(boot_id=boot_id, elapsed_ms=elapsed_ms, running_ms=running_ms)
    told = ToldTime.resumed(stored, now, least_ms)
    assert told.earliest_unix_ms(elapsed_ms) == UNIX_MS + passed_ms
    assert told.latest_unix_ms(elapsed_ms) == UNIX_MS + 5 + passed_ms


def test_a_clock_is_behind_once_it_is_so_by_more_than_the_slack() -> None:
    bound = ClockBound(after_ms=UNIX_MS, at_ms=0)
    assert bound.behind_ms(UNIX_MS + BEHIND_SLACK_MS, 0) == 0
    assert bound.behind_ms(UNIX_MS + BEHIND_SLACK_MS + 1, 0) == BEHIND_SLACK_MS + 1
