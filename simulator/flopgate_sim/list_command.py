"""``flopgate-sim list``: the shipped scenarios, or the adversaries that are played."""

from __future__ import annotations

import argparse

from flopgate_sim.adversaries import as_markdown
from flopgate_sim.scenario import find, shipped


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
        print(as_markdown(), end="")
        return 0
    scenarios = [find(name) for name in shipped()]
    width = max(len(scenario.name) for scenario in scenarios)
    print(f"{'name':{width}}  hosts   hours  what it shows")
    for one in scenarios:
        print(f"{one.name:{width}}  {one.hosts:5}  {one.hours:6g}  {one.summary}")
    return 0
