"""A chart of curves over world time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flopgate_sim.campaign.outcome import Curve
from flopgate_sim.report import curves
from flopgate_sim.report.marks import ROW_PX, Labelled, kinds_in, lines, strip
from flopgate_sim.report.markup import Markup, tag
from flopgate_sim.report.scales import Axis, Scale, quantity, time_axis, value_axis

WIDTH_PX: Final = 960
LEFT_PX: Final = 72
RIGHT_PX: Final = 16
TOP_PX: Final = 34
PLOT_PX: Final = 150
BOTTOM_PX: Final = 36
FAR_ABOVE: Final = 8.0
"""A bound that lies so many times above the curve would press it flat: it is told in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What one chart shows.

    Attributes:
        curve: what happened; ``None``: nothing was recorded.
        bound: what it must not pass, dashed.
        whole: it counts things.
    """

    id: str
    title: str
    says: str
    curve: Curve | None
    bound: Curve | None = None
    whole: bool = False


def x_scale(end_s: float) -> Scale:
    """World time, the same in every chart of a section."""
    return Scale(low=0.0, high=end_s, from_px=LEFT_PX, to_px=WIDTH_PX - RIGHT_PX)


def figure(chart: Chart, end_s: float, marks: Sequence[Labelled]) -> Markup:
    """The chart with its title, and in words what cannot be seen in it."""
    points = [] if chart.curve is None else curves.thinned(chart.curve.points, end_s)
    heading = tag("h4", chart.title, tag("output", class_="hover", aria_hidden="true"))
    if chart.curve is None or not points:
        return tag("figure", heading, tag("p", "Nothing was recorded.", class_="empty"))
    bound = [] if chart.bound is None else curves.thinned(chart.bound.points, end_s)
    most = max(value for _, value in points)
    notes = [chart.says, *_used(chart, points, bound)]
    bound_most = max((value for _, value in bound), default=0.0)
    if bound and chart.bound is not None and bound_most > FAR_ABOVE * most > 0:
        least = min(value for _, value in bound)
        far = quantity(least, chart.bound.unit)
        notes.append(f"The {chart.bound.name}, {far}, lies above this chart.")
        bound = []
    top = max(most, bound_most if bound else 0.0)
    axis = value_axis(top, chart.curve.unit, whole=chart.whole)
    svg = _svg(chart, axis, points=points, bound=bound, end_s=end_s, marks=marks)
    return tag("figure", heading, svg, _key(chart, bound), tag("figcaption", " ".join(notes)))


def _used(chart: Chart, points: list[curves.Point], bound: list[curves.Point]) -> list[str]:
    """How much of the bound was used at the end."""
    if chart.bound is None or not bound or bound[-1][1] <= 0:
        return []
    percent = 100 * points[-1][1] / bound[-1][1]
    return [f"At the end {percent:.3g}% of the {chart.bound.name} was used."]


def _svg(
    chart: Chart,
    axis: Axis,
    *,
    points: list[curves.Point],
    bound: list[curves.Point],
    end_s: float,
    marks: Sequence[Labelled],
) -> Markup:
    bottom = TOP_PX + PLOT_PX
    x = x_scale(end_s)
    y = Scale(low=0.0, high=axis.top, from_px=bottom, to_px=TOP_PX)
    unit = "" if chart.curve is None else chart.curve.unit
    return tag(
        "svg",
        tag("title", chart.title, id=f"{chart.id}-title"),
        tag("desc", _in_words(chart, points, end_s), id=f"{chart.id}-desc"),
        _grid(axis, x, y),
        time_ticks(end_s, x, bottom),
        tag("path", d=curves.area(points, end_s, x, y), class_="area"),
        tag("path", d=curves.path(bound, end_s, x, y), class_="bound") if bound else None,
        tag("path", d=curves.path(points, end_s, x, y), class_="curve"),
        lines(marks, x, TOP_PX, bottom),
        tag("line", x1=0, x2=0, y1=TOP_PX, y2=bottom, class_="cross"),
        viewBox=f"0 0 {WIDTH_PX} {bottom + BOTTOM_PX}",
        class_="chart",
        role="img",
        aria_labelledby=f"{chart.id}-title {chart.id}-desc",
        data_left=LEFT_PX,
        data_right=WIDTH_PX - RIGHT_PX,
        data_end=repr(float(end_s)),
        data_unit=unit,
        data_curve=curves.data(points),
        data_bound=curves.data(bound) if bound else None,
        data_bound_name=None if chart.bound is None else chart.bound.name,
    )


def _grid(axis: Axis, x: Scale, y: Scale) -> Markup:
    drawn = [tag("text", axis.unit, x=x.from_px - 8, y=TOP_PX - 12, class_="tick end unit")]
    for value, label in axis.ticks:
        at_px = y(value)
        drawn.append(tag("line", x1=x.from_px, x2=x.to_px, y1=at_px, y2=at_px, class_="grid"))
        drawn.append(tag("text", label, x=x.from_px - 8, y=at_px + 4, class_="tick end"))
    return tag("g", *drawn)


def time_ticks(end_s: float, x: Scale, y_px: float) -> Markup:
    """The axis of world time below a chart."""
    axis = time_axis(0.0, end_s)
    drawn = [tag("line", x1=x.from_px, x2=x.to_px, y1=y_px, y2=y_px, class_="axis")]
    for at_s, label in axis.ticks:
        at_px = x(at_s)
        drawn.append(tag("line", x1=at_px, x2=at_px, y1=y_px, y2=y_px + 4, class_="axis"))
        drawn.append(tag("text", label, x=at_px, y=y_px + 16, class_="tick middle"))
    unit = f"world time, {axis.unit}"
    drawn.append(tag("text", unit, x=x.to_px, y=y_px + 30, class_="tick end unit"))
    return tag("g", *drawn)


def strip_figure(id_: str, marks: Sequence[Labelled], end_s: float) -> Markup | None:
    """All marks over world time, a row for each kind."""
    kinds = kinds_in(marks)
    if not kinds:
        return None
    bottom = 4 + ROW_PX * len(kinds)
    x = x_scale(end_s)
    svg = tag(
        "svg",
        tag("title", "What happened, by kind", id=f"{id_}-title"),
        strip(marks, x, 4),
        time_ticks(end_s, x, bottom),
        viewBox=f"0 0 {WIDTH_PX} {bottom + BOTTOM_PX}",
        class_="chart",
        role="img",
        aria_labelledby=f"{id_}-title",
    )
    return tag("figure", tag("h4", "What happened"), svg)


def _key(chart: Chart, bound: list[curves.Point]) -> Markup | None:
    if not bound or chart.bound is None or chart.curve is None:
        return None
    items = []
    for name, class_ in ((chart.curve.name, "curve"), (chart.bound.name, "bound")):
        swatch = tag(
            "svg",
            tag("line", x1=0, x2=30, y1=6, y2=6, class_=class_),
            width=30,
            height=12,
            aria_hidden="true",
        )
        items.append(tag("li", swatch, f" {name}"))
    return tag("ul", *items, class_="legend")


def _in_words(chart: Chart, points: list[curves.Point], end_s: float) -> str:
    unit = "" if chart.curve is None else chart.curve.unit
    values = [value for _, value in points]
    last = curves.at(points, end_s)
    return (
        f"{chart.says} Least {quantity(min(values), unit)}, most {quantity(max(values), unit)}, "
        f"at the end {quantity(values[-1] if last is None else last, unit)}."
    )
