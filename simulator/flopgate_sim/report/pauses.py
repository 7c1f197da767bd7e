"""How long each pause took until the first, the median and the last host stood still."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flopgate_sim.campaign.outcome import Stop
from flopgate_sim.campaign.words import clock, count
from flopgate_sim.report.chart import BOTTOM_PX, RIGHT_PX, WIDTH_PX
from flopgate_sim.report.markup import Markup, number, table, tag
from flopgate_sim.report.scales import Scale, seconds, time_axis

DRAWN_MAX: Final = 20
LEFT_PX: Final = 16
ROW_PX: Final = 46
_TEXT_PX: Final = 14
_BAR_PX: Final = 31
_SIZE: Final = 5.0
SHAPES: Final = (("first", "triangle"), ("median", "diamond"), ("last", "square"))
_OFFSET_PX: Final = {"triangle": -5.0, "diamond": 0.0, "square": 5.0}
"""So that those of one moment can be told apart."""


def spans_s(pause: Stop) -> tuple[float | None, float | None, float | None]:
    """First, median and last."""
    return pause.first_s, pause.median_s, pause.last_s


def figure(id_: str, pauses: Sequence[Stop]) -> Markup:
    """A row for each pause, on an axis of seconds after its order."""
    heading = tag("h4", "Pause and stop times")
    if not pauses:
        text = "Nothing was paused."
        return tag("figure", heading, tag("p", text, class_="empty"))
    shown = pauses[:DRAWN_MAX]
    longest = max((span or 0.0 for pause in shown for span in spans_s(pause)), default=0.0)
    x = Scale(low=0.0, high=longest or 1.0, from_px=LEFT_PX, to_px=WIDTH_PX - RIGHT_PX)
    bottom = ROW_PX * len(shown) + 6
    rows = [_row(pause, index, x) for index, pause in enumerate(shown)]
    svg = tag(
        "svg",
        tag("title", "Pause and stop times", id=f"{id_}-title"),
        tag("desc", " ".join(in_words(pause) for pause in shown), id=f"{id_}-desc"),
        _axis(longest or 1.0, x, bottom),
        *rows,
        viewBox=f"0 0 {WIDTH_PX} {bottom + BOTTOM_PX}",
        class_="chart",
        role="img",
        aria_labelledby=f"{id_}-title {id_}-desc",
    )
    left_out = len(pauses) - len(shown)
    says = "From the officers' order until hosts stood still, by the hardware's own account."
    if left_out:
        says += f" {count(left_out, 'later pause')} not drawn; the table has them."
    return tag("figure", heading, svg, _key(), tag("figcaption", says))


def _axis(longest_s: float, x: Scale, y_px: float) -> Markup:
    axis = time_axis(0.0, longest_s)
    drawn = [tag("line", x1=x.from_px, x2=x.to_px, y1=y_px, y2=y_px, class_="axis")]
    for at_s, label in axis.ticks:
        at_px = x(at_s)
        drawn.append(tag("line", x1=at_px, x2=at_px, y1=0, y2=y_px + 4, class_="grid"))
        drawn.append(tag("text", label, x=at_px, y=y_px + 16, class_="tick middle"))
    unit = f"after the order, {axis.unit}"
    drawn.append(tag("text", unit, x=x.to_px, y=y_px + 30, class_="tick end unit"))
    return tag("g", *drawn)


def _row(pause: Stop, index: int, x: Scale) -> Markup:
    top = index * ROW_PX
    drawn = [tag("text", in_words(pause), x=x.from_px, y=top + _TEXT_PX, class_="row")]
    y = top + _BAR_PX
    first, _, last = spans_s(pause)
    if first is not None and last is not None:
        drawn.append(tag("line", x1=x(0.0), x2=x(first), y1=y, y2=y, class_="wait"))
        drawn.append(tag("line", x1=x(first), x2=x(last), y1=y, y2=y, class_="spread"))
    for (name, shape), span in zip(SHAPES, spans_s(pause), strict=True):
        if span is not None:
            title = tag("title", f"{name}: {seconds(span)}")
            drawn.append(_marker(shape, x(span), y + _OFFSET_PX[shape], title))
    return tag("g", *drawn)


def _marker(shape: str, x: float, y: float, title: Markup | None = None) -> Markup:
    size = _SIZE
    corners = {
        "triangle": ((-size, size), (size, size), (0, -size)),
        "diamond": ((0, -size - 1), (size + 1, 0), (0, size + 1), (-size - 1, 0)),
        "square": ((-size, -size), (size, -size), (size, size), (-size, size)),
    }[shape]
    points = " ".join(f"{number(x + dx)},{number(y + dy)}" for dx, dy in corners)
    return tag("polygon", title, points=points, class_=f"marker {shape}")


def _key() -> Markup:
    items = [
        tag(
            "li",
            tag("svg", _marker(shape, 8, 8), width=16, height=16, aria_hidden="true"),
            f" {name} host still",
        )
        for name, shape in SHAPES
    ]
    return tag("ul", *items, class_="legend")


def in_words(pause: Stop) -> str:
    """One pause as a sentence."""
    still = f"{pause.still:,} of {count(pause.hosts, 'host')} still"
    spans = [
        f"{name} {seconds(span)}"
        for (name, _), span in zip(SHAPES, spans_s(pause), strict=True)
        if span is not None
    ]
    return f"{clock(pause.at_s)} {pause.text}: {', '.join([still, *spans])}."


def listing(pauses: Sequence[Stop]) -> Markup | None:
    """The same as a table."""
    if not pauses:
        return None
    rows: list[tuple[str | None, ...]] = [
        (
            pause.text,
            clock(pause.at_s),
            f"{pause.still:,} of {pause.hosts:,}",
            *("none" if span is None else seconds(span) for span in spans_s(pause)),
        )
        for pause in pauses
    ]
    head = ("pause", "ordered at", "hosts still", "first after", "median after", "last after")
    return table(head, rows, caption="Pause and stop times", class_="data")
