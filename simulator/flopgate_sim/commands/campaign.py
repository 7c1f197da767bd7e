"""``flopgate-sim campaign``: scenarios in turns with ever new seeds for a time, or given seeds."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from flopgate_proto.errors import ConfigError
from flopgate_sim.campaign import telling
from flopgate_sim.campaign.code import code_digest
from flopgate_sim.campaign.endurance import Endurance, Plan
from flopgate_sim.campaign.log import Logged, read
from flopgate_sim.campaign.options import (
    add_pool_arguments,
    check_pool_arguments,
    interrupt_on_sigterm,
)
from flopgate_sim.campaign.outcome import SCHEMES, Runner
from flopgate_sim.campaign.ranges import parse_numbers
from flopgate_sim.campaign.turns import MIXED, REAL_EVERY
from flopgate_sim.scenario import find, shipped
from flopgate_sim.world.run import run_job

MINUTES_MAX = 60.0 * 24 * 31


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``campaign``."""
    span = parser.add_mutually_exclusive_group()
    span.add_argument(
        "--minutes", type=float, default=60.0, metavar="M", help="how long (%(default)g)"
    )
    span.add_argument(
        "--seeds",
        metavar="SEEDS",
        help="these of each scenario, as in 7 or 1..3, however long it takes",
    )
    parser.add_argument(
        "--scenarios",
        metavar="NAMES",
        help="names or files, with commas between them (default: all that are shipped)",
    )
    parser.add_argument(
        "--host-hours-max",
        type=float,
        default=math.inf,
        metavar="H",
        help="leave out those of which one seed has more (default: none)",
    )
    parser.add_argument(
        "--signatures",
        choices=(*SCHEMES, MIXED),
        default=MIXED,
        help=f"P-256, a stand-in, or P-256 for every {REAL_EVERY}th seed (%(default)s)",
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="add results to it; seeds go on from it"
    )
    parser.add_argument(
        "--summary", action="store_true", help="run nothing; say what --log adds up to"
    )
    add_pool_arguments(parser, limit_s=None)


def run(arguments: argparse.Namespace) -> int:
    """Run it: 0 no breach, 1 a breach or a world that did not come to its end, 2 misuse."""
    interrupt_on_sigterm()
    return play(arguments, run_job)


def play(arguments: argparse.Namespace, runner: Runner) -> int:
    """Run what was asked for with this engine; the exit status."""
    check_pool_arguments(arguments)
    logged = Logged() if arguments.log is None else read(arguments.log)
    if arguments.summary:
        if arguments.log is None:
            raise _wrong("--summary needs --log", "Name the file that campaigns added to.")
        if not arguments.log.exists():
            raise _wrong(f"--log: {arguments.log} is not there", "Name one that campaigns wrote.")
        return summarise(logged, code_digest())
    return Endurance(plan_of(arguments, logged), runner, telling.console()).run()


def plan_of(arguments: argparse.Namespace, logged: Logged) -> Plan:
    """What was asked for.

    Raises:
        ConfigError: no such scenario, or an option makes no sense.
    """
    if not 0 < arguments.minutes <= MINUTES_MAX:
        raise _wrong("--minutes is out of range", f"It takes above 0 to {MINUTES_MAX:g}.")
    names = list(shipped()) if arguments.scenarios is None else arguments.scenarios.split(",")
    if len(set(names)) != len(names):
        raise _wrong("--scenarios names one twice", "Name each once.")
    found = {name: find(name) for name in names}
    sizes = {name: one.hosts * one.hours for name, one in found.items()}
    host_hours = {name: size for name, size in sizes.items() if size <= arguments.host_hours_max}
    if not host_hours:
        raise _wrong(
            "--host-hours-max leaves no scenario", f"The smallest has {min(sizes.values()):g}."
        )
    return Plan(
        host_hours=host_hours,
        first_seeds=logged.next_seeds,
        signatures=arguments.signatures,
        seeds=None if arguments.seeds is None else parse_numbers(arguments.seeds, "--seeds"),
        seconds=arguments.minutes * 60,
        processes=arguments.jobs,
        stop_after=arguments.stop_after,
        limit_s=arguments.limit_s,
        log=arguments.log,
        code=code_digest(),
    )


def summarise(logged: Logged, code: str) -> int:
    """Say what a log adds up to, by code, and for the code that is installed here in full."""
    teller = telling.Teller(telling.console())
    teller.by_code({digest: one.all for digest, one in logged.by_code.items()}, code)
    if logged.unreadable:
        teller.line(f"unreadable lines: {logged.unreadable:,}")
    totals = logged.by_code.get(code)
    if totals is None:
        teller.line("no seed was run with the code that is installed here")
        return 0
    teller.line("with the code that is installed here:")
    teller.summary(totals, 0.0)
    return 0 if totals.clean else 1


def _wrong(what: str, remedy: str) -> ConfigError:
    return ConfigError(what, code="campaign.option", remedy=remedy)
