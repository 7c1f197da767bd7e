"""``flopgate-sim list``: the shipped scenarios, or the adversaries that are played."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from typing import Final

from flopgate_sim.scenario import find, shipped

TEXT_WIDTH_MIN: Final = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be listed besides scenarios."""
    parser.add_argument(
        "--adversaries",
        action="store_true",
        help="who cheats, and what comes of it: the table of docs/adversaries.md",
    )


def run(arguments: argparse.Namespace) -> int:
    """One line each: name, hosts, hours, what it shows."""
    if arguments.adversaries:
        from flopgate_sim.adversaries import as_markdown  # noqa: PLC0415 - slow to load

        print(as_markdown(), end="")
        return 0
    scenarios = [find(name) for name in shipped()]
    width = max(len(scenario.name) for scenario in scenarios)
    rows = [(f"{'name':{width}}  hosts   hours  ", "what it shows")]
    rows += [
        (f"{one.name:{width}}  {one.hosts:5}  {one.hours:6g}  ", one.summary) for one in scenarios
    ]
    for figures, text in rows:
        print(_hanging(figures, text) if sys.stdout.isatty() else figures + text)
    return 0


def _hanging(figures: str, text: str) -> str:
    """Text beside figures, as wide as the terminal; below them where there is too little room."""
    columns = shutil.get_terminal_size().columns - 1
    if columns - len(figures) < TEXT_WIDTH_MIN:
        below = textwrap.fill(text, columns, initial_indent="  ", subsequent_indent="  ")
        return f"{figures.rstrip()}\n{below}"
    return textwrap.fill(figures + text, columns, subsequent_indent=" " * len(figures))
