"""HTML and SVG, built so that nothing gets in unescaped: whatever was not built here is escaped."""

from __future__ import annotations

import re
from html import escape
from typing import Final

_VOID: Final = frozenset({"meta"})
_NOT_TEXT: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""What neither HTML nor UTF-8 can carry."""


class Markup(str):
    """Text that is markup already. Only this module makes it."""

    __slots__ = ()


Child = str | None
"""Text, which is escaped, or `Markup`, which is not; ``None`` is nothing."""
Attribute = str | int | float | None


def text(words: str) -> Markup:
    """Text as markup."""
    if isinstance(words, Markup):
        return words
    return Markup(escape(_NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", words), quote=True))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element.

    ``class_`` gives ``class``, ``stroke_width`` gives ``stroke-width``; an attribute that is
    ``None`` is left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    inner = "".join(text(child) for child in children if child is not None)
    return Markup(f"<{name}{given}>{inner}</{name}>")


def together(*children: Child) -> Markup:
    """Several, one after the other."""
    return Markup("".join(text(child) for child in children if child is not None))


def verbatim(name: str, ours: str) -> Markup:
    """``style`` or ``script`` of ours, whose content HTML does not unescape."""
    return Markup(f"<{name}>{ours}</{name}>")


def table(
    head: tuple[str, ...], rows: list[tuple[Child, ...]], *, caption: str = "", class_: str = ""
) -> Markup:
    """A table; the first cell of each row is its heading, numbers stand to the right."""
    return tag(
        "table",
        tag("caption", caption) if caption else None,
        tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))) if head else None,
        tag("tbody", *(_row(row) for row in rows)),
        class_=class_ or None,
    )


def _row(cells: tuple[Child, ...]) -> Markup:
    first, *others = cells
    return tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in others))


def _attribute(value: str | float) -> str:
    return text(number(value) if isinstance(value, float) else str(value))


def number(value: float) -> str:
    """A coordinate: at most one decimal, which is a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")
