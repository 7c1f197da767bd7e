"""Laws 2 and 9: whatever is charged, both books together hold everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.gate.lanes.book import LaneBook
from flopgate_agent.gate.settings import TFLOP
from flopgate_agent.measured import Flop
from flopgate_proto.values import ChargedFigure


@given(
    charges=st.lists(
        st.tuples(
            st.integers(0, 3 * TFLOP),
            st.booleans(),
            st.one_of(st.none(), st.integers(0, 6)),
        ),
        max_size=20,
    )
)
def test_law_2_both_books_grow_and_together_hold_everything(
    charges: list[tuple[int, bool, int | None]],
) -> None:
    book, total = LaneBook(), 0
    for amount, gap, ceiling_tflop in charges:
        before = (book.allotted_flop, book.unaccounted_flop)
        flop = Flop(low=0, nominal=amount, high=2 * amount)
        book.charge(flop, gap=gap, figure=ChargedFigure.NOMINAL, ceiling_tflop=ceiling_tflop)
        total += amount
        assert book.allotted_flop + book.unaccounted_flop == total
        assert book.allotted_flop >= before[0]
        assert book.unaccounted_flop >= before[1]
        if book.allotted_flop > before[0]:
            assert ceiling_tflop is not None
            assert book.allotted_flop <= ceiling_tflop * TFLOP


@given(amounts=st.lists(st.integers(0, 5 * TFLOP), min_size=1, max_size=20))
def test_law_9_intervals_add_up_to_totals(amounts: list[int]) -> None:
    book = LaneBook()
    nominal = 0
    for amount in amounts:
        flop = Flop(low=amount // 2, nominal=amount, high=amount * 2)
        book.charge(flop, gap=False, figure=ChargedFigure.NOMINAL, ceiling_tflop=None)
        measured, _ = book.interval()
        nominal += measured.nominal_tflop
        assert measured.low_tflop <= measured.nominal_tflop <= measured.high_tflop
    assert nominal == sum(amounts) // TFLOP == book.reported_measured.nominal_tflop
