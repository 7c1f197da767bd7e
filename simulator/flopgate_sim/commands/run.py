"""``flopgate-sim run``: one scenario of the simulated cluster, with one seed or many."""

from __future__ import annotations

import argparse
from pathlib import Path

from flopgate_proto.errors import ConfigError
from flopgate_sim.campaign.options import (
    add_pool_arguments,
    check_pool_arguments,
    check_report,
    interrupt_on_sigterm,
)
from flopgate_sim.campaign.outcome import CHEAP, SCHEMES, Runner
from flopgate_sim.campaign.picks import PICKED_MAX
from flopgate_sim.campaign.ranges import parse_numbers
from flopgate_sim.campaign.request import Request
from flopgate_sim.campaign.shrink import RUNS_MAX
from flopgate_sim.scenario import find

FAULTS_MAX = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``run``."""
    parser.add_argument(
        "scenario", metavar="SCENARIO", help="a name that `list` shows, or a file (NAME.toml)"
    )
    parser.add_argument(
        "--seeds", default="1", metavar="SEEDS", help="7, or 1..1000, or 3,5,9..12 (%(default)s)"
    )
    parser.add_argument(
        "--faults",
        metavar="INDICES",
        help="only these faults of the plan, written as seeds are, or none (default: all)",
    )
    parser.add_argument(
        "--signatures",
        choices=SCHEMES,
        default=CHEAP,
        help="P-256, or a stand-in that is quicker (%(default)s)",
    )
    parser.add_argument(
        "--shrink",
        action="store_true",
        help="reduce the faults of the lowest seed that broke each law, "
        f"with at most {RUNS_MAX} worlds each",
    )
    parser.add_argument(
        "--timeline",
        action="store_true",
        help=f"show what happened, for at most {PICKED_MAX} seeds: breaches first",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help=f"write a page with charts of at most {PICKED_MAX} seeds: breaches first",
    )
    add_pool_arguments(parser, limit_s=None)


def run(arguments: argparse.Namespace) -> int:
    """Run it: 0 no breach, 1 a breach or a world that did not come to its end, 2 misuse."""
    request = request_of(arguments)
    from flopgate_sim.world.run import run_job  # noqa: PLC0415 - slow to load

    interrupt_on_sigterm()
    return play(request, run_job)


def play(request: Request, runner: Runner) -> int:
    """Run what was asked for with this engine; the exit status."""
    from flopgate_sim.campaign import session, telling  # noqa: PLC0415 - slow to load

    return session.Session(request, runner, telling.console()).run()


def request_of(arguments: argparse.Namespace) -> Request:
    """What was asked for.

    Raises:
        ConfigError: no such scenario, or an option makes no sense.
    """
    check_pool_arguments(arguments)
    check_report(arguments.report)
    return Request(
        scenario=find(arguments.scenario),
        named=arguments.scenario,
        seeds=parse_numbers(arguments.seeds, "--seeds"),
        faults=_faults(arguments.faults),
        signatures=arguments.signatures,
        processes=arguments.jobs,
        stop_after=arguments.stop_after,
        limit_s=arguments.limit_s,
        shrink=arguments.shrink,
        timeline=arguments.timeline,
        report=arguments.report,
    )


def _faults(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    if text == "none":
        return ()
    numbers = parse_numbers(text, "--faults")
    if numbers.count > FAULTS_MAX:
        raise ConfigError(
            f"--faults: {numbers.count} faults",
            code="campaign.faults",
            remedy=f"At most {FAULTS_MAX} can be listed; leave it out for all.",
        )
    return tuple(sorted(numbers))
