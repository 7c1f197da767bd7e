"""The command line ``flopgate-sim``: rehearsal on one machine, without a GPU."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from flopgate_proto.command_line import run_program
from flopgate_proto.version import VERSION
from flopgate_sim import (
    campaign_command,
    driver_command,
    job_command,
    list_command,
    replay_command,
    run_command,
)
from flopgate_sim.demo import command as demo
from flopgate_sim.live import command as live

COMMANDS = {
    "demo": (demo, "the whole path, from a GPU counter to a stopped GPU, in two minutes"),
    "driver": (driver_command, "fake GPUs for a gate that is started by hand"),
    "job": (job_command, "a job on these GPUs"),
    "list": (list_command, "scenarios of the simulated cluster that are shipped"),
    "run": (
        run_command,
        "a scenario for one seed or thousands, every law checked after every event",
    ),
    "campaign": (campaign_command, "all scenarios in turns with ever new seeds, for an hour or so"),
    "replay": (replay_command, "a recorded cluster under governance"),
    "live": (live, "real processes in real time, under cuts, losses and kills"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: see `run_program`."""
    return run_program("flopgate-sim", lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="flopgate-sim", description="Rehearsal of flopgate on one machine, without a GPU."
    )
    parser.add_argument("--version", action="version", version=f"flopgate {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=text, description=text))
    parsed = parser.parse_args(arguments)
    status: int = COMMANDS[parsed.command][0].run(parsed)
    return status


if __name__ == "__main__":
    sys.exit(main())
