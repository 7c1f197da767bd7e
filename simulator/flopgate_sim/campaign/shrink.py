"""Reduces the faults of a world that breaks a law to a set of which none can be left out.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002),
over the indices of the faults in their plan. Faults that stay keep their moment and their target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from flopgate_proto.errors import MisuseError
from flopgate_sim.campaign.outcome import Breach

RUNS_MAX: Final = 500
"""Worlds that one reduction may run by default."""

Faults = tuple[int, ...]
Breaks = Callable[[Faults], Breach | None]
"""Runs a world with these faults only; the law it broke first, if it broke one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """What is left.

    Attributes:
        faults: indices, rising; they still break the same law.
        breach: how, with these.
        runs: worlds that it took, each set of faults run once.
        minimal: no single one of the faults can be left out. ``False`` when the runs ran out.
    """

    faults: Faults
    breach: Breach
    runs: int
    minimal: bool


class _Spent(Exception):
    """No more runs."""


class _Search:
    """Runs each set once, up to a bound, and keeps the smallest that breaks the law."""

    def __init__(self, faults: Faults, breach: Breach, breaks: Breaks, runs_max: int) -> None:
        self.faults = faults
        self.breach = breach
        self.runs = 1
        self._breaks = breaks
        self._runs_max = runs_max
        self._held: set[Faults] = set()

    def breaks(self, faults: Faults) -> bool:
        """Whether these break the law; they then are the smallest known."""
        if faults in self._held:
            return False
        if self.runs == self._runs_max:
            raise _Spent
        self.runs += 1
        breach = self._breaks(faults)
        if breach is None or breach.law != self.breach.law:
            self._held.add(faults)
            return False
        self.faults, self.breach = faults, breach
        return True


def shrink(faults: Faults, law: int, breaks: Breaks, *, runs_max: int = RUNS_MAX) -> Shrunk:
    """The smallest set that was found, within ``runs_max`` runs (1 and more).

    Of n faults it takes at most n*n + 3n + 2 runs, and about 2 log2 n when one fault is to blame.
    The same ``breaks`` gives the same result.

    Raises:
        MisuseError: the faults do not break the law to begin with.
    """
    faults = tuple(sorted(set(faults)))
    breach = breaks(faults)
    if breach is None or breach.law != law:
        raise MisuseError(
            f"law {law} is not broken with the faults it is to be reduced from",
            code="campaign.shrink.unbroken",
        )
    search = _Search(faults, breach, breaks, runs_max)
    minimal = True
    try:
        if faults and not search.breaks(()):
            _reduce(search)
    except _Spent:
        minimal = False
    return Shrunk(faults=search.faults, breach=search.breach, runs=search.runs, minimal=minimal)


def _reduce(search: _Search) -> None:
    parts = 2
    while len(search.faults) > 1:
        faults = search.faults
        pieces = _cut(faults, parts)
        if any(search.breaks(piece) for piece in pieces):
            parts = 2
        elif parts > 2 and any(search.breaks(_without(faults, piece)) for piece in pieces):  # noqa: PLR2004  # of two, the rest is the other
            parts -= 1
        elif parts < len(faults):
            parts = min(2 * parts, len(faults))
        else:
            return


def _cut(faults: Faults, parts: int) -> list[Faults]:
    """Into so many pieces, as even as they can be, none empty."""
    ends = [len(faults) * number // parts for number in range(parts + 1)]
    return [faults[start:end] for start, end in pairwise(ends)]


def _without(faults: Faults, piece: Faults) -> Faults:
    left_out = set(piece)
    return tuple(fault for fault in faults if fault not in left_out)
