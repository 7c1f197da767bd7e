"""The two books of a lane (laws 2 and 3), exact to the FLOP.

*Allotted* is what was charged under a grant, the wind-down after a pause or a refusal included; it
never passes the ceiling: what is measured beyond it goes to *unaccounted*, as does everything that
no grant covers. Both only grow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flopgate_agent.gate.settings import TFLOP
from flopgate_agent.measured import Flop
from flopgate_proto.quick import maker
from flopgate_proto.values import ChargedFigure, Figures, LaneReport

make_figures = maker(Figures)
make_flop = maker(Flop)


def figures_of(count: list[int]) -> Figures:
    """Whole teraFLOP of running totals; the remainder stays in the exact count."""
    low, nominal, high = count
    return make_figures(
        low_tflop=low // TFLOP, nominal_tflop=nominal // TFLOP, high_tflop=high // TFLOP
    )


def _difference(whole: Figures, reported: Figures) -> Figures:
    low = whole.low_tflop - reported.low_tflop
    nominal = max(low, whole.nominal_tflop - reported.nominal_tflop)
    return make_figures(
        low_tflop=low,
        nominal_tflop=nominal,
        high_tflop=max(nominal, whole.high_tflop - reported.high_tflop),
    )


def nothing() -> list[int]:
    """A count of FLOP that grows in place, as each chip adds to it at each look: three ways."""
    return [0, 0, 0]


def grow(count: list[int], flop: Flop) -> None:
    """Add to such a count."""
    count[0] += flop.low
    count[1] += flop.nominal
    count[2] += flop.high


def flop_of(count: list[int]) -> Flop:
    """The value of such a count now."""
    low, nominal, high = count
    return make_flop(low=low, nominal=nominal, high=high)


@dataclass(slots=True)
class LaneBook:
    """Running totals of one workload on this host since enrolment."""

    _measured: list[int] = field(default_factory=nothing)
    _gap: list[int] = field(default_factory=nothing)
    allotted_flop: int = 0
    unaccounted_flop: int = 0
    reported_measured: Figures = Figures()  # noqa: RUF009 - frozen value
    reported_gap: Figures = Figures()  # noqa: RUF009 - frozen value

    @classmethod
    def resumed(cls, last: LaneReport) -> LaneBook:
        """The book as the last report left it.

        What lay below a whole teraFLOP was lost with the run, in each of the two books; one
        teraFLOP is charged for each.
        """
        total = last.total
        return cls(
            _measured=[
                total.low_tflop * TFLOP,
                (total.nominal_tflop + 1) * TFLOP,
                (total.high_tflop + 1) * TFLOP,
            ],
            allotted_flop=last.allotted_tflop * TFLOP,
            unaccounted_flop=(last.unaccounted_tflop + 2) * TFLOP,
            reported_measured=total,
        )

    @property
    def measured(self) -> Flop:
        """What counters told, since enrolment."""
        return flop_of(self._measured)

    @property
    def gap(self) -> Flop:
        """What was charged at the worst case, since enrolment."""
        return flop_of(self._gap)

    @property
    def total(self) -> Flop:
        """Measured and charged, since enrolment."""
        return self.measured + self.gap

    @property
    def allotted_tflop(self) -> int:
        """Whole teraFLOP of the allotted book."""
        return self.allotted_flop // TFLOP

    @property
    def unaccounted_tflop(self) -> int:
        """Whole teraFLOP of the other book."""
        return self.unaccounted_flop // TFLOP

    def charge(
        self, flop: Flop, *, gap: bool, figure: ChargedFigure, ceiling_tflop: int | None
    ) -> None:
        """Write an amount down; ``ceiling_tflop`` is ``None`` where no grant covers it."""
        grow(self._gap if gap else self._measured, flop)
        amount = flop.nominal
        if figure is ChargedFigure.HIGH:
            amount = flop.high
        elif figure is ChargedFigure.LOW and flop.low:
            # Where no counter told what the pipes did, low is 0: losing them would pay.
            amount = flop.low
        room = 0 if ceiling_tflop is None else max(0, ceiling_tflop * TFLOP - self.allotted_flop)
        allotted = min(amount, room)
        self.allotted_flop += allotted
        self.unaccounted_flop += amount - allotted

    def interval(self) -> tuple[Figures, Figures]:
        """Measured and charged figures since the last call: the interval of one report."""
        before, gap_before = self.reported_measured, self.reported_gap
        self.reported_measured = figures_of(self._measured)
        self.reported_gap = figures_of(self._gap)
        return _difference(self.reported_measured, before), _difference(
            self.reported_gap, gap_before
        )
