"""Governor time under wall clocks that leap as they like."""

from hypothesis import given
from hypothesis import strategies as st

from flopgate_governor.core.governor_time import LOOK_MS, SLACK_MS, SPAN_MS, GovernorTime

BEGAN_UNIX_MS = 1_800_000_000_000
YEAR_MS = 365 * 86_400_000
LEAPS_MS = st.integers(-YEAR_MS, YEAR_MS) | st.integers(-3 * SLACK_MS, 3 * SLACK_MS)
FAR_MS = st.integers(SLACK_MS + 1, YEAR_MS) | st.integers(-YEAR_MS, -SLACK_MS - 1)
WAITS_MS = st.integers(0, LOOK_MS) | st.integers(0, 2 * SPAN_MS)
LOOKS = st.lists(st.tuples(WAITS_MS, LEAPS_MS), max_size=60)
"""Boot time until each look, and how far the wall clock is off then."""


def begun() -> GovernorTime:
    return GovernorTime.first(BEGAN_UNIX_MS, 0)


def after(time: GovernorTime, wait_ms: int, ahead_ms: int) -> GovernorTime:
    boot_ms = time.boot_ms + wait_ms
    return time.seen(BEGAN_UNIX_MS + boot_ms + ahead_ms, boot_ms)


@given(LOOKS)
def test_it_goes_on_but_where_a_step_back_is_followed(looks: list[tuple[int, int]]) -> None:
    time = begun()
    for wait_ms, ahead_ms in looks:
        before, time = time, after(time, wait_ms, ahead_ms)
        if time.began_unix_ms == before.began_unix_ms:
            assert abs(time.unix_ms - before.unix_ms - wait_ms) <= 2 * SLACK_MS
        else:
            assert time.unix_ms == time.wall_unix_ms
        assert time.held_ms == time.wall_unix_ms - time.unix_ms
        assert 0 <= time.follows_in_ms <= SPAN_MS
        assert bool(time.held_ms) == bool(time.follows_in_ms)


@st.composite
def momentary(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Looks at a clock that is right, but for leaps of any size that do not last."""
    looks: list[tuple[int, int]] = []
    for ahead_ms in draw(st.lists(FAR_MS, max_size=8)):
        looks += [(wait_ms, 0) for wait_ms in draw(st.lists(WAITS_MS, min_size=1, max_size=6))]
        left_ms = SPAN_MS - 1
        for wait_ms in draw(st.lists(WAITS_MS, max_size=12)):
            left_ms -= min(wait_ms, left_ms)
            looks.append((wait_ms if left_ms else 0, ahead_ms))
    return looks


@given(momentary())
def test_leaps_that_do_not_last_do_not_move_it(looks: list[tuple[int, int]]) -> None:
    time = begun()
    for wait_ms, ahead_ms in looks:
        time = after(time, wait_ms, ahead_ms)
        assert time.unix_ms == BEGAN_UNIX_MS + time.boot_ms


@given(LOOKS, LEAPS_MS, st.integers(LOOK_MS // 10, LOOK_MS))
def test_what_lasts_is_followed_after_the_span(
    looks: list[tuple[int, int]], ahead_ms: int, every_ms: int
) -> None:
    time = begun()
    for wait_ms, off_ms in looks:
        time = after(time, wait_ms, off_ms)
    for _ in range(SPAN_MS // every_ms + 2):
        time = after(time, every_ms, ahead_ms)
    assert time.unix_ms == time.wall_unix_ms
    assert time.held_ms == time.follows_in_ms == 0


@given(st.integers(SLACK_MS + 1, YEAR_MS), st.lists(st.integers(0, 3 * SPAN_MS), max_size=9))
def test_few_looks_are_no_span(ahead_ms: int, waits_ms: list[int]) -> None:
    """Nine looks, however far apart, do not show where a clock stood in between."""
    time = begun()
    for wait_ms in waits_ms:
        time = after(time, wait_ms, ahead_ms)
        assert time.unix_ms == BEGAN_UNIX_MS + time.boot_ms


@given(LOOKS, LEAPS_MS)
def test_a_process_that_starts_anew_goes_on_from_what_was_believed(
    looks: list[tuple[int, int]], ahead_ms: int
) -> None:
    time = begun()
    for wait_ms, off_ms in looks:
        time = after(time, wait_ms, off_ms)
    wall_unix_ms = BEGAN_UNIX_MS + time.boot_ms + ahead_ms
    anew = GovernorTime.first(wall_unix_ms, time.boot_ms, time.began_unix_ms)
    borne_out_ms = time.began_unix_ms + time.boot_ms
    assert abs(anew.unix_ms - borne_out_ms) <= SLACK_MS
    assert anew.seen(wall_unix_ms, time.boot_ms).unix_ms == anew.unix_ms
