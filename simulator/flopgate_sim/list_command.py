"""``flopgate-sim list``: the shipped scenarios."""

from __future__ import annotations

import argparse

from flopgate_sim.scenario import find, shipped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``list`` takes none."""


def run(_arguments: argparse.Namespace) -> int:
    """One line each: name, hosts, hours, what it shows."""
    scenarios = [find(name) for name in shipped()]
    width = max(len(scenario.name) for scenario in scenarios)
    print(f"{'name':{width}}  hosts   hours  what it shows")
    for one in scenarios:
        print(f"{one.name:{width}}  {one.hosts:5}  {one.hours:6g}  {one.summary}")
    return 0
