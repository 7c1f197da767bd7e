"""Curves that keep each value until the next: thinned to what a chart can show, and drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from flopgate_sim.report.markup import number
from flopgate_sim.report.scales import Scale

COLUMNS: Final = 400
"""Of a chart, for curves: each has its first, least, greatest and last value."""
POINTS_MAX: Final = 4 * COLUMNS + 1

Point = tuple[float, float]


def thinned(points: Iterable[Point], end_s: float, columns: int = COLUMNS) -> list[Point]:
    """At most four points a column, so that no peak, no gap and no end is lost.

    Points that are no numbers, or lie outside 0 to ``end_s``, are left out.
    """
    sane = [(at_s, value) for at_s, value in points if 0 <= at_s <= end_s and math.isfinite(value)]
    if len(sane) <= 4 * columns:
        return sane
    width_s = end_s / columns or 1.0
    kept: list[Point] = []
    for _, group in groupby(sane, key=lambda point: min(int(point[0] / width_s), columns - 1)):
        column = list(group)
        least = min(range(len(column)), key=lambda index: column[index][1])
        most = max(range(len(column)), key=lambda index: column[index][1])
        wanted = sorted({0, least, most, len(column) - 1})
        kept.extend(column[index] for index in wanted)
    return kept


def at(points: Sequence[Point], at_s: float) -> float | None:
    """The value at a moment; ``None`` before the first point."""
    found = None
    for point_s, value in points:
        if point_s > at_s:
            break
        found = value
    return found


def path(points: Sequence[Point], end_s: float, x: Scale, y: Scale) -> str:
    """Steps, for the ``d`` of a path; empty without points."""
    if not points:
        return ""
    first_s, first = points[0]
    parts = [f"M{number(x(first_s))} {number(y(first))}"]
    for at_s, value in points[1:]:
        parts.append(f"H{number(x(at_s))}V{number(y(value))}")
    parts.append(f"H{number(x(end_s))}")
    return "".join(parts)


def area(points: Sequence[Point], end_s: float, x: Scale, y: Scale) -> str:
    """What lies under the steps."""
    if not points:
        return ""
    return f"{path(points, end_s, x, y)}V{number(y(0.0))}H{number(x(points[0][0]))}Z"


def data(points: Sequence[Point]) -> str:
    """For the page's script: moments and values, alternating."""
    return " ".join(f"{at_s:.7g} {value:.6g}" for at_s, value in points)
