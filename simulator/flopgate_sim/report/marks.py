"""What happened at a moment: lines through the charts, a strip with all of it, a legend, a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flopgate_sim.campaign.outcome import Mark
from flopgate_sim.campaign.words import clock, count
from flopgate_sim.report.markup import Markup, table, tag, together
from flopgate_sim.report.scales import Scale

LINES_MAX: Final = 12
"""Of one kind through a chart; a kind with more stands in the strip only."""
LISTED_MAX: Final = 200
ROW_PX: Final = 22
_LABEL_ROWS: Final = 2
_LABEL_PX: Final = 24
_LABEL_ROW_PX: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How a kind of mark is shown."""

    name: str
    letter: str
    words: str
    weighty: bool = False


KINDS: Final = {
    one.name: one
    for one in (
        Kind(name="pause", letter="P", words="officers pause", weighty=True),
        Kind(name="resume", letter="R", words="officers resume", weighty=True),
        Kind(name="stop", letter="S", words="work stands", weighty=True),
        Kind(name="breach", letter="B", words="a law is broken", weighty=True),
        Kind(name="fault", letter="F", words="fault"),
        Kind(name="other", letter="O", words="anything else"),
    )
}


def kind_of(mark: Mark) -> Kind:
    """Of a mark; what is not known is ``other``."""
    return KINDS.get(mark.kind, KINDS["other"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A mark, how it is shown, and its short name, as ``P1``."""

    mark: Mark
    kind: Kind
    label: str


def labelled(marks: Sequence[Mark]) -> list[Labelled]:
    """By time, numbered within their kind."""
    numbers: Counter[str] = Counter()
    named = []
    for mark in sorted(marks, key=lambda one: one.at_s):
        kind = kind_of(mark)
        numbers[kind.letter] += 1
        named.append(Labelled(mark=mark, kind=kind, label=f"{kind.letter}{numbers[kind.letter]}"))
    return named


def _few(marks: Sequence[Labelled]) -> list[Labelled]:
    """Those of kinds that are few enough for lines."""
    kinds = Counter(one.kind for one in marks)
    return [one for one in marks if kinds[one.kind] <= LINES_MAX]


def lines(marks: Sequence[Labelled], x: Scale, top_px: float, bottom_px: float) -> Markup:
    """Thin lines from top to bottom; labels above, those that would overlap left out."""
    ends = [-1e9] * _LABEL_ROWS
    drawn: list[Markup] = []
    for one in _few(marks):
        at_px = x(one.mark.at_s)
        drawn.append(_line(one, at_px, top_px, bottom_px))
        for row, end_px in enumerate(ends):
            if at_px - end_px >= _LABEL_PX:
                ends[row] = at_px
                y = top_px - 5 - row * _LABEL_ROW_PX
                drawn.append(
                    tag("text", one.label, x=at_px, y=y, class_=f"label {one.kind.name}-text")
                )
                break
    return tag("g", *drawn)


def _line(one: Labelled, at_px: float, top_px: float, bottom_px: float) -> Markup:
    title = tag("title", f"{one.label} at {clock(one.mark.at_s)}: {one.mark.text}")
    return tag(
        "line", title, x1=at_px, x2=at_px, y1=top_px, y2=bottom_px, class_=f"mark {one.kind.name}"
    )


def kinds_in(marks: Sequence[Labelled]) -> list[Kind]:
    """Kinds that there are, in a fixed order."""
    present = {one.kind for one in marks}
    return [kind for kind in KINDS.values() if kind in present]


def strip(marks: Sequence[Labelled], x: Scale, top_px: float) -> Markup:
    """A row for each kind with a tick for each mark; those of one pixel are one tick."""
    rows: list[Markup] = []
    for number, kind in enumerate(kinds_in(marks)):
        y = top_px + number * ROW_PX
        rows.append(
            tag(
                "line",
                x1=x.from_px,
                x2=x.to_px,
                y1=y + ROW_PX - 4,
                y2=y + ROW_PX - 4,
                class_="grid",
            )
        )
        rows.append(tag("text", kind.name, x=x.from_px - 8, y=y + ROW_PX - 7, class_="tick end"))
        seen: dict[int, list[Labelled]] = {}
        for one in marks:
            if one.kind == kind:
                seen.setdefault(round(x(one.mark.at_s)), []).append(one)
        for at_px, here in seen.items():
            rows.append(_tick(here, at_px, y))
    return tag("g", *rows)


def _tick(here: list[Labelled], at_px: int, y: float) -> Markup:
    first = here[0]
    more = f" and {len(here) - 1} more at this place" if len(here) > 1 else ""
    title = f"{first.label} at {clock(first.mark.at_s)}: {first.mark.text}{more}"
    return tag(
        "line",
        tag("title", title),
        x1=at_px,
        x2=at_px,
        y1=y + 3,
        y2=y + ROW_PX - 4,
        class_=f"solid {first.kind.name}",
    )


def legend(marks: Sequence[Labelled]) -> Markup | None:
    """What lines and letters mean, and how many there are."""
    kinds = Counter(one.kind for one in marks)
    if not kinds:
        return None
    items = []
    for kind in kinds_in(marks):
        swatch = tag(
            "svg",
            tag("line", x1=0, x2=30, y1=6, y2=6, class_=f"mark {kind.name}"),
            width=30,
            height=12,
            aria_hidden="true",
        )
        where = "" if kinds[kind] <= LINES_MAX else "; in the strip only"
        number = f"{kinds[kind]:,}"
        items.append(tag("li", swatch, f" {kind.letter} {kind.words} ({number}{where})"))
    return tag("ul", *items, class_="legend")


def listing(marks: Sequence[Labelled]) -> Markup | None:
    """All marks as a table, up to a bound: officers' acts and breaches before all others."""
    if not marks:
        return None
    weighty = [one for one in marks if one.kind.weighty]
    others = [one for one in marks if not one.kind.weighty]
    kept = {id(one) for one in (weighty + others)[:LISTED_MAX]}
    rows: list[tuple[str | None, ...]] = [
        (one.label, clock(one.mark.at_s), one.mark.kind, one.mark.text)
        for one in marks
        if id(one) in kept
    ]
    left_out = len(marks) - len(rows)
    return tag(
        "details",
        tag("summary", f"What happened, as a table ({count(len(marks), 'mark')})"),
        together(
            table(("mark", "world time", "kind", "what"), rows, class_="data words"),
            tag("p", f"and {left_out:,} more, which stand in the strip") if left_out else None,
        ),
    )
