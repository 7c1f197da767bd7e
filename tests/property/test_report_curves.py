"""What thinning keeps of a curve, and what axes keep to, for any numbers."""

import math

from hypothesis import given
from hypothesis import strategies as st

from flopgate_sim.report.curves import POINTS_MAX, at, thinned
from flopgate_sim.report.scales import (
    TICKS_MAX,
    Scale,
    quantity,
    seconds,
    time_axis,
    value_axis,
)

END_S = 1000.0
VALUES = st.floats(-1e30, 1e30)
TIMES = st.floats(0, END_S)


@given(st.lists(st.tuples(TIMES, VALUES), max_size=300), st.integers(1, 40))
def test_thinning_keeps_ends_and_peaks_in_order(
    points: list[tuple[float, float]], columns: int
) -> None:
    points.sort(key=lambda point: point[0])
    kept = thinned(points, END_S, columns)
    assert len(kept) <= 4 * columns
    remaining = iter(points)
    assert all(point in remaining for point in kept), "not in order, or not of the curve"
    if points:
        assert (kept[0], kept[-1]) == (points[0], points[-1])
        for best in (min, max):
            assert best(value for _, value in kept) == best(value for _, value in points)
        assert at(kept, END_S) == points[-1][1]


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=20))
def test_what_is_no_number_is_left_out(points: list[tuple[float, float]]) -> None:
    for at_s, value in thinned(points, END_S):
        assert 0 <= at_s <= END_S
        assert math.isfinite(value)
    assert len(points) <= POINTS_MAX


@given(st.floats(1e-9, 1e31))
def test_an_axis_begins_at_0_and_ends_at_or_just_above_the_greatest_value(most: float) -> None:
    axis = value_axis(most, "FLOP")
    assert axis.ticks[0] == (0.0, "0")
    assert axis.top == axis.ticks[-1][0]
    assert most * (1 - 1e-6) <= axis.top <= most * 2
    assert 3 <= len(axis.ticks) <= 6
    labels = [label for _, label in axis.ticks]
    assert len(set(labels)) == len(labels)
    assert all(len(label) <= 7 for label in labels)


@given(st.integers(1, 10**6))
def test_an_axis_of_things_has_whole_ticks(most: int) -> None:
    axis = value_axis(float(most), "hosts", whole=True)
    assert all(value == round(value) for value, _ in axis.ticks)
    assert most <= axis.top <= most * 2
    assert 2 <= len(axis.ticks) <= 6


@given(st.floats(0, 4e7))
def test_an_axis_of_time_has_few_ticks_in_order_within_it(end_s: float) -> None:
    axis = time_axis(0.0, end_s)
    moments = [moment for moment, _ in axis.ticks]
    assert moments == sorted(set(moments))
    assert 1 <= len(moments) <= TICKS_MAX + 1
    assert all(0 <= moment <= end_s * (1 + 1e-6) + 1e-9 for moment in moments)
    labels = [label for _, label in axis.ticks]
    assert len(set(labels)) == len(labels)


@given(VALUES, VALUES, st.floats())
def test_nothing_is_drawn_outside(low: float, high: float, value: float) -> None:
    scale = Scale(low=low, high=high, from_px=10.0, to_px=20.0)
    if not math.isnan(value):
        assert 10.0 <= scale(value) <= 20.0


@given(st.floats(-1e31, 1e31))
def test_quantities_and_spans_are_short(value: float) -> None:
    assert len(quantity(value, "FLOP")) <= 24
    assert len(seconds(value)) <= 60
