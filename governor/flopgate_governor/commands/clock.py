"""Tell wall clock and governor time; with --believe the wall clock is right from now on."""

from __future__ import annotations

import argparse

from flopgate_governor.announcement import only_server
from flopgate_governor.clocks import this_machine
from flopgate_governor.desk.output import add_directory, add_json, tell
from flopgate_governor.files import Layout
from flopgate_governor.timekeeping import believe
from flopgate_governor.wiring import opened
from flopgate_proto.amounts import date_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``clock``."""
    parser.add_argument(
        "--believe",
        action="store_true",
        help="say that the wall clock is right: the governor, which must be stopped, follows it",
    )
    add_directory(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Tell, and believe where that is asked for."""
    layout, clocks = Layout(arguments.dir), this_machine()
    if arguments.believe:
        with only_server(layout), opened(layout) as state:
            believe(state.store, clocks)
    with opened(layout) as state:
        # What was signed stays the least, whatever the clock shows.
        now_ms, wall_ms = state.now_ms(), clocks.unix_ms()
    lines = [
        f"the wall clock shows {date_text(wall_ms)}",
        f"governor time is {date_text(now_ms)}",
    ]
    tell(arguments, lines, {"wall_unix_ms": wall_ms, "governor_unix_ms": now_ms})
