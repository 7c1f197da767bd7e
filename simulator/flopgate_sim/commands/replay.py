"""``flopgate-sim replay``: a recorded cluster under governance."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path

from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import COUNT_MAX
from flopgate_sim.campaign.options import check_report, write_report
from flopgate_sim.campaign.outcome import CHEAP, SCHEMES, Job
from flopgate_sim.campaign.ranges import NUMBER_MAX
from flopgate_sim.campaign.telling import Teller, console
from flopgate_sim.campaign.totals import Totals, breached
from flopgate_sim.campaign.words import count
from flopgate_sim.campaign.worker import Done
from flopgate_sim.report import render
from flopgate_sim.traces import load_trace, to_scenario
from flopgate_sim.world.from_scenario import plan_of
from flopgate_sim.world.run import run_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``replay``."""
    parser.add_argument(
        "--nodes", type=Path, required=True, metavar="FILE", help="openb_node_list_gpu_node.csv"
    )
    parser.add_argument(
        "--pods", type=Path, required=True, metavar="FILE", help="openb_pod_list_default.csv"
    )
    parser.add_argument(
        "--begin-s",
        type=int,
        metavar="S",
        help="its second to begin with (that of its first job)",
    )
    parser.add_argument(
        "--duration-s",
        type=int,
        default=3600,
        metavar="S",
        help="how many seconds of it (3600)",
    )
    parser.add_argument(
        "--budget-tflop", type=int, metavar="TFLOP", help="cap of the cluster (none)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the world (1)")
    parser.add_argument(
        "--signatures", choices=SCHEMES, default=CHEAP, help="see `flopgate-sim run` (cheap)"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page with charts")


def run(arguments: argparse.Namespace) -> int:
    """Replay it; 1 if a law was broken."""
    check_report(arguments.report)
    _check("--seed", arguments.seed, NUMBER_MAX)
    _check("--budget-tflop", arguments.budget_tflop, COUNT_MAX)
    scenario = to_scenario(
        load_trace(arguments.nodes, arguments.pods),
        begin_s=arguments.begin_s,
        duration_s=arguments.duration_s,
        budget_tflop=arguments.budget_tflop,
    )
    hosts, jobs = count(scenario.hosts, "host"), count(len(scenario.jobs), "job")
    print(f"{scenario.name}: {hosts}, {jobs}, {count(arguments.duration_s, 'second')}", flush=True)
    for note in scenario.notes:
        print(f"  {note}")
    job = Job(
        scenario=scenario.name,
        seed=arguments.seed,
        signatures=arguments.signatures,
        recording=arguments.report is not None,
    )
    teller, totals = Teller(console(), lambda _: again_of(arguments)), Totals()
    started_s = time.monotonic()
    with teller.console.status("simulating"):
        done = Done(job=job, outcome=run_plan(plan_of(scenario, arguments.seed), job))
    totals.add(done)
    broke = breached(done)
    if broke is not None:
        teller.breach(broke)
    teller.summary(totals, time.monotonic() - started_s)
    if arguments.report is not None:
        page = render(scenario, totals, [done], lambda _: again_of(arguments))
        write_report(arguments.report, page)
        teller.line(f"report: {arguments.report}")
    return 0 if totals.clean else 1


def _check(option: str, number: int | None, most: int) -> None:
    if number is not None and not 0 <= number <= most:
        raise ConfigError(
            f"{option} is {number}", code="campaign.option", remedy=f"Write 0 to {most}."
        )


def again_of(arguments: argparse.Namespace) -> str:
    """The command that replays it once more, for a shell."""
    words = ["flopgate-sim", "replay"]
    for name in ("nodes", "pods", "begin_s", "duration_s", "budget_tflop", "seed", "signatures"):
        value = getattr(arguments, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
