"""What a rehearsal says while it runs, and the table at its end."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_INDENT: Final = 3
_HANGING: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table: what was checked, what was measured, whether it held.

    ``law`` is a number of DESIGN section 3, empty where none is meant.
    """

    law: str
    checked: str
    measured: str
    held: bool


def spread(times_ms: Sequence[int]) -> str:
    """First, median and last of some times, in seconds."""
    if not times_ms:
        return "none"
    first, last = min(times_ms) / 1000, max(times_ms) / 1000
    median = statistics.median(times_ms) / 1000
    return f"first {first:.2f} s, median {median:.2f} s, last {last:.2f} s"


class Teller:
    """Prints scenes as they come and collects findings."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._scene = 0
        self.findings: list[Row] = []

    def scene(self, title: str) -> None:
        """A new scene begins."""
        self._scene += 1
        self._console.print(f"\n[bold]{self._scene}. {title}[/bold]")

    def say(self, text: str) -> None:
        """One line of what happens."""
        self._wrapped(text, _INDENT + len(text) - len(text.lstrip()))

    def check(self, checked: str, measured: str, *, held: bool, law: str = "") -> None:
        """Note and tell one finding."""
        self.findings.append(Row(law=law, checked=checked, measured=measured, held=held))
        mark = "[green]held[/green]" if held else "[bold red]BROKEN[/bold red]"
        self._wrapped(f"{mark}  {checked}: {measured}", _HANGING)

    def _wrapped(self, markup: str, hanging: int) -> None:
        """Lines that are too long go on below their own words."""
        for line in Text.from_markup(markup).split():
            begin = _INDENT
            for part in line.wrap(self._console, max(1, self._console.width - hanging)):
                part.rstrip()
                self._console.print(Text(" " * begin) + part, soft_wrap=True, highlight=False)
                begin = hanging

    @property
    def all_held(self) -> bool:
        """Whether every finding held."""
        return all(finding.held for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One line: every law held, one did not, or something else came otherwise than expected."""
        broken = [finding for finding in self.findings if not finding.held]
        if any(finding.law for finding in broken):
            return "A LAW WAS BROKEN"
        if broken:
            return "NOT EVERYTHING CAME AS EXPECTED, every law held: see what is BROKEN above"
        return "every law held"

    def table(self) -> None:
        """The findings, one a row."""
        table = Table(title="What was measured", show_lines=False)
        for column in ("law", "checked", "measured", "held"):
            table.add_column(column, overflow="fold")
        for finding in self.findings:
            held = "[green]yes[/green]" if finding.held else "[bold red]NO[/bold red]"
            table.add_row(finding.law, finding.checked, finding.measured, held)
        self._console.print()
        self._console.print(table)
