"""Law 2: the allotted book never passes its ceiling, whatever is charged."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flopgate_agent.gate.lanes.book import LaneBook
from flopgate_agent.gate.settings import TFLOP
from flopgate_agent.measured import Flop
from flopgate_proto.values import ChargedFigure, LaneReport, LaneState

AMOUNT = Flop(low=1 * TFLOP, nominal=2 * TFLOP, high=4 * TFLOP)


def test_law_2_what_lies_beyond_the_ceiling_goes_to_the_other_book() -> None:
    book = LaneBook()
    book.charge(AMOUNT, gap=False, figure=ChargedFigure.NOMINAL, ceiling_tflop=1)
    assert (book.allotted_tflop, book.unaccounted_tflop) == (1, 1)


def test_law_3_without_permission_everything_is_unaccounted() -> None:
    book = LaneBook()
    book.charge(AMOUNT, gap=True, figure=ChargedFigure.HIGH, ceiling_tflop=None)
    assert (book.allotted_tflop, book.unaccounted_tflop) == (0, 4)


def test_law_2_a_lower_ceiling_takes_nothing_back() -> None:
    book = LaneBook()
    for ceiling_tflop in (10, 1):
        book.charge(AMOUNT, gap=False, figure=ChargedFigure.NOMINAL, ceiling_tflop=ceiling_tflop)
    assert (book.allotted_tflop, book.unaccounted_tflop) == (2, 2)


@pytest.mark.parametrize(
    ("figure", "low", "charged"),
    [
        (ChargedFigure.LOW, 1, 1),
        (ChargedFigure.NOMINAL, 1, 2),
        (ChargedFigure.HIGH, 1, 4),
        (ChargedFigure.LOW, 0, 2),
        (ChargedFigure.NOMINAL, 0, 2),
        (ChargedFigure.HIGH, 0, 4),
    ],
)
@pytest.mark.parametrize("gap", [False, True])
def test_law_3_what_no_counter_told_is_never_charged_at_the_low_figure(
    *, figure: ChargedFigure, low: int, charged: int, gap: bool
) -> None:
    """A gap, and the bound by kernel-active time, have a low figure of 0."""
    book = LaneBook()
    amount = Flop(low=low * TFLOP, nominal=2 * TFLOP, high=4 * TFLOP)
    book.charge(amount, gap=gap, figure=figure, ceiling_tflop=100)
    assert book.allotted_tflop == charged


CHARGES = st.tuples(st.integers(0, 3 * TFLOP), st.sampled_from([None, 2, 9]))


@given(charges=st.lists(CHARGES, max_size=6), restarts=st.integers(1, 3))
@example(charges=[(9 * TFLOP // 10, None), (9 * TFLOP // 10, 2)], restarts=1)
def test_law_3_no_restart_rounds_for_the_host(
    charges: list[tuple[int, int | None]], restarts: int
) -> None:
    book, done = LaneBook(), 0
    for _ in range(restarts):
        for amount, ceiling in charges:
            flop = Flop(low=amount, nominal=amount, high=amount)
            figure = ChargedFigure.NOMINAL
            book.charge(flop, gap=False, figure=figure, ceiling_tflop=ceiling)
            done += amount
        measured, gap = book.interval()
        book = LaneBook.resumed(
            LaneReport(
                workload="w",
                state=LaneState.RUNNING,
                chips=(0,),
                measured=measured,
                gap=gap,
                total=book.reported_measured + book.reported_gap,
                allotted_tflop=book.allotted_tflop,
                unaccounted_tflop=book.unaccounted_tflop,
            )
        )
    assert book.total.nominal >= done
    assert book.allotted_flop + book.unaccounted_flop >= done
    assert book.allotted_tflop <= max((ceiling or 0 for _, ceiling in charges), default=0)
