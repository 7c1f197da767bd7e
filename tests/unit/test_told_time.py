"""What time it is, as far as answers tell: good ones, and those to reports of long ago."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.gate.told_time import OLD_MS, ToldTime

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
