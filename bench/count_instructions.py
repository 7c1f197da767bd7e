"""What a quiet simulated cluster costs, in instructions: a busy machine counts as an idle one does.

Counted by valgrind (cachegrind) over worlds of a few hosts: one that ends when they have joined,
and one that goes on for some renewals. Their difference is what reports cost, all of it included:
counters, report, governor, answer, laws. Takes a minute on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

# Scripts see their own folder only; the shared parts are a package beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import BenchError, table
from flopgate_sim.campaign.outcome import CHEAP, Job
from flopgate_sim.scenario import find
from flopgate_sim.world.from_scenario import plan_of
from flopgate_sim.world.run import run_plan

SCENARIO = "quiet-128"
HOSTS = 8
JOINED_MS, LATER_MS, RENEWAL_MS = 30_000, 1_230_000, 120_000
WORLDS = 2
"""In one process, so that what is done once in each weighs less."""


def main() -> None:
    """Count, or be what is counted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run-ms", type=int, help="only run the worlds for so long")
    arguments = parser.parse_args()
    if arguments.run_ms is not None:
        _run(arguments.run_ms)
        return
    nothing, joined, later = (_count(span_ms) for span_ms in (0, JOINED_MS, LATER_MS))
    reports = HOSTS * (LATER_MS - JOINED_MS) // RENEWAL_MS
    rows = [
        ["a host until it has joined", f"{(joined - nothing) / WORLDS / HOSTS / 1e6:.1f}"],
        ["a report", f"{(later - joined) / WORLDS / reports / 1e6:.2f}"],
    ]
    table(f"{HOSTS} hosts of {SCENARIO}", ["what", "million instructions"], rows)


def _run(span_ms: int) -> None:
    plan = plan_of(find(SCENARIO), 1)
    plan = replace(plan, duration_ms=span_ms, hosts=plan.hosts[:HOSTS])
    for _ in range(WORLDS if span_ms else 0):
        run_plan(plan, Job(scenario=SCENARIO, seed=1, signatures=CHEAP))


def _count(span_ms: int) -> int:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise BenchError("valgrind is not installed (Debian: apt-get install valgrind)")
    done = subprocess.run(
        [
            valgrind, "--tool=cachegrind", "--cache-sim=no", "--branch-sim=no",
            "--cachegrind-out-file=/dev/null", sys.executable, __file__, "--run-ms", str(span_ms),
        ],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    line = next(line for line in done.stderr.splitlines() if "refs:" in line)
    return int(line.rpartition(":")[2].replace(",", ""))


if __name__ == "__main__":
    main()
