"""The smallest part of a fault plan that still breaks the law: delta debugging.

Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input (IEEE TSE 28(2), 2002),
algorithm ddmin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

RUNS_MAX = 400
"""Worlds that are run at most to shrink one plan."""

Indices = tuple[int, ...]


def shrink(
    whole: Sequence[int], breaks: Callable[[Indices], bool], runs_max: int = RUNS_MAX
) -> Indices:
    """A part of ``whole`` that breaks, and of which no element can be left out.

    Args:
        whole: breaks.
        breaks: whether a part does; deterministic.
        runs_max: after so many questions the smallest part so far is given.
    """
    left, parts, runs = tuple(whole), 2, 0
    if breaks(()):
        return ()
    while len(left) > 1:
        pieces = _split(left, parts)
        tries = [tuple(i for i in left if i not in set(piece)) for piece in pieces]
        if parts > 2:  # noqa: PLR2004  # halves are each other's complements
            tries = [*pieces, *tries]
        for attempt in tries:
            runs += 1
            if runs > runs_max:
                return left
            if breaks(attempt):
                parts = 2 if attempt in pieces else max(parts - 1, 2)
                left = attempt
                break
        else:
            if parts >= len(left):
                return left
            parts = min(len(left), parts * 2)
    return left


def _split(whole: Indices, parts: int) -> list[Indices]:
    size, more = divmod(len(whole), parts)
    pieces, first = [], 0
    for number in range(parts):
        end = first + size + (number < more)
        pieces.append(whole[first:end])
        first = end
    return [piece for piece in pieces if piece]
