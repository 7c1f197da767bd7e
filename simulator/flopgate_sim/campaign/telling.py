"""What a campaign says: breaches as they come, tables at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flopgate_sim.campaign import replay
from flopgate_sim.campaign.outcome import Job, Outcome
from flopgate_sim.campaign.pending import pending
from flopgate_sim.campaign.totals import Breached, Sums, Totals
from flopgate_sim.campaign.words import clock, count, hours, speed
from flopgate_sim.campaign.worker import Failure
from flopgate_sim.world.laws.table import LAWS

WIDTH: Final = 110
"""Where no terminal says how wide it is."""
CODE_SHOWN: Final = 12
TOLD_MAX: Final = 5
"""Breaches and failures that are told with all they have, each; the tables have the others."""


def console() -> Console:
    """For standard output."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def _row(table: Table, *cells: str) -> None:
    """Cells with words that are not ours: as they stand, without markup."""
    table.add_row(*(Text(cell) for cell in cells))


class Teller:
    """Says what goes wrong as it happens, and all in all at the end."""

    def __init__(self, console: Console, again: Callable[[Job], str] = replay.command) -> None:
        """``again`` gives the command that runs a job once more."""
        self.console = console
        self._again = again
        self._breaches = 0
        self._failures = 0

    def line(self, text: str = "") -> None:
        """One line as it stands: no markup, no wrapping that would spoil a command."""
        self.console.print(text, markup=False, soft_wrap=True)

    def breach(self, breached: Breached) -> None:
        """A law was broken; the first few are told with their timelines."""
        self._breaches += 1
        if self._breaches <= TOLD_MAX:
            self.whole(breached)
        if self._breaches == TOLD_MAX:
            self.line("(more breaches stand in the table only)")

    def whole(self, breached: Breached) -> None:
        """A breach with all that is known of it."""
        breach = breached.breach
        title = Text(f"law {breach.law} is broken", style="bold red")
        title.append(f": {breached.job.scenario}, seed {breached.job.seed}", style="not bold")
        self.console.rule(title, align="left", style="red")
        self.line(f"{breach.law_name}: {breach.detail}")
        self.line(f"at {clock(breach.at_ms / 1000)} of world time, step {breach.step:,}")
        for text in breached.timeline:
            self.line(f"  {text}")
        self.line(f"again: {self._again(breached.job)}")

    def failure(self, failure: Failure) -> None:
        """A world did not come to its end; the first few with their tracebacks."""
        self._failures += 1
        if self._failures > TOLD_MAX:
            return
        self.line(f"{failure.job.scenario}, seed {failure.job.seed}: {failure.reason}")
        for text in failure.detail.splitlines():
            self.line(f"  {text}")

    def timeline(self, outcome: Outcome) -> None:
        """What happened last in a world, a line each."""
        self.line(f"{outcome.scenario}, seed {outcome.seed}, trace {outcome.trace_digest}")
        for text in outcome.timeline:
            self.line(f"  {text}")

    def summary(self, totals: Totals, wall_s: float) -> None:
        """All tables, and the verdict."""
        self._figures(totals.all, wall_s)
        if len(totals.scenarios) > 1:
            self._compared("By scenario", "scenario", totals.scenarios)
        self._counted("Faults, by kind", totals.faults)
        self._counted("Counted", totals.counts)
        self._breached(totals)
        self._failed(totals)
        self._pending()
        if totals.clean and not totals.all.seeds:
            self.line("nothing was run")
            return
        if totals.clean:
            verdict = "[green]no law was broken[/]"
        elif totals.all.breaches:
            verdict = f"[bold red]{count(totals.all.breaches, 'breach', 'breaches')}[/]"
        else:
            verdict = "[bold red]no breach, but some worlds did not come to their end[/]"
        self.console.print(f"{verdict} in {count(totals.all.seeds, 'seed')}")

    def _figures(self, sums: Sums, wall_s: float) -> None:
        table = Table(title="In all", show_header=False, title_justify="left")
        table.add_column()
        table.add_column(justify="right")
        table.add_row("seeds", f"{sums.seeds:,}")
        if sums.failures:
            table.add_row("seeds that did not come to their end", f"{sums.failures:,}")
        if sums.cut:
            table.add_row("seeds cut off when the time was over", f"{sums.cut:,}")
        table.add_row("breaches", f"{sums.breaches:,}")
        table.add_row("laws judged", ", ".join(str(law.number) for law in LAWS))
        table.add_row("events", f"{sums.events:,}")
        table.add_row("host-hours", hours(sums.host_hours))
        table.add_row("host-hours per second of CPU", speed(sums.host_hours_per_cpu_s))
        table.add_row("seconds of CPU", f"{sums.cpu_s:,.1f}")
        if wall_s:
            table.add_row("seconds", f"{wall_s:,.1f}")
        self.console.print(table)

    def by_code(self, sums: Mapping[str, Sums], here: str) -> None:
        """What each version of the code came to; ``here`` is the digest of the one installed."""
        named = {
            f"{code[:CODE_SHOWN]}{' (this)' if code == here else ''}": one
            for code, one in sums.items()
        }
        self._compared("By code", "code", named)

    def _compared(self, title: str, what: str, sums: Mapping[str, Sums]) -> None:
        table = Table(title=title, title_justify="left")
        table.add_column(what)
        for name in ("seeds", "breaches", "not ended", "host-hours", "per s of CPU"):
            table.add_column(name, justify="right")
        for name, one in sorted(sums.items()):
            _row(
                table,
                name,
                f"{one.seeds:,}",
                f"{one.breaches:,}",
                f"{one.failures:,}",
                hours(one.host_hours),
                speed(one.host_hours_per_cpu_s),
            )
        self.console.print(table)

    def _counted(self, title: str, numbers: Mapping[str, int]) -> None:
        if not numbers:
            return
        table = Table(title=title, show_header=False, title_justify="left")
        table.add_column()
        table.add_column(justify="right")
        for name, number in sorted(numbers.items(), key=lambda item: (-item[1], item[0])):
            _row(table, name, f"{number:,}")
        self.console.print(table)

    def _breached(self, totals: Totals) -> None:
        if not totals.breached:
            return
        table = Table(title="Breaches", title_justify="left")
        for name in ("scenario", "seed", "law", "step", "at", "what"):
            table.add_column(name, overflow="fold")
        shown = sorted(totals.breached, key=lambda one: (one.job.scenario, one.job.seed))
        for one in shown:
            breach = one.breach
            _row(
                table,
                one.job.scenario,
                str(one.job.seed),
                f"{breach.law} {breach.law_name}",
                f"{breach.step:,}",
                clock(breach.at_ms / 1000),
                breach.detail,
            )
        self.console.print(table)
        for one in shown:
            self.line(self._again(one.job))
        if totals.all.breaches > len(shown):
            self.line(f"and {totals.all.breaches - len(shown):,} more")

    def _failed(self, totals: Totals) -> None:
        for failure in totals.failed:
            self.line(f"did not come to its end: {self._again(failure.job)}: {failure.reason}")
        if totals.all.failures > len(totals.failed):
            self.line(f"and {totals.all.failures - len(totals.failed):,} more")

    def _pending(self) -> None:
        waiting = pending()
        items = sum(len(whats) for whats in waiting.values())
        table = Table(title=f"Pending: {count(items, 'item')}", title_justify="left")
        table.add_column("waits for")
        table.add_column("items", justify="right")
        table.add_column("what cannot be checked yet", overflow="fold")
        for feature, whats in waiting.items():
            _row(table, feature, str(len(whats)), "; ".join(whats))
        self.console.print(table)
