"""Speed of the simulated cluster: host-hours for each second of one core, quiet and at its worst.

Whole worlds in this process, with the stand-in for signatures and with the real ones, and the share
of the time that the cores of a gate and of the governor take by themselves (a profile apart, which
slows everything down alike).
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
from pathlib import Path
from statistics import median

# Scripts see their own folder only; the shared parts are a package beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import machine, table
from flopgate_sim.campaign.outcome import CHEAP, REAL, Job, Outcome
from flopgate_sim.world.run import run_job

SCENARIOS = ("quiet-128", "heaviest", "small-faults", "tiny-faults")
PARTS = {
    "gate: look and decide": ("core.py", "samples"),
    "gate: build a report": ("reporting.py", "build_report"),
    "gate: take answers": ("inbox.py", "take_answers"),
    "gate: keep": ("ledger.py", "keep"),
    "governor: commit": ("batch.py", "commit_batch"),
    "laws": ("world.py", "_check"),
    "chips": ("chips.py", "sample"),
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=SCENARIOS[:2])
    parser.add_argument("--profile", choices=SCENARIOS, default="tiny-faults")
    arguments = parser.parse_args()
    print(machine())
    rows = []
    for name in arguments.scenarios:
        for signatures in (CHEAP, REAL):
            done = [
                run_job(Job(scenario=name, seed=seed, signatures=signatures))
                for seed in range(1, arguments.rounds + 1)
            ]
            rows.append(_row(name, signatures, done))
    heads = ["scenario", "signatures", "host-h", "host-h a CPU s", "events a CPU s", "us a report"]
    table(f"Medians of {arguments.rounds} seeds", heads, rows)
    table(
        f"Where the time goes, {arguments.profile}", ["part", "share"], _profile(arguments.profile)
    )


def _row(name: str, signatures: str, done: list[Outcome]) -> list[str]:
    speed = median(one.host_hours / one.cpu_s for one in done)
    events = median(one.steps / one.cpu_s for one in done)
    report_us = median(one.cpu_s * 1e6 / max(1, one.counts["reports"]) for one in done)
    hours = median(one.host_hours for one in done)
    return [
        name,
        signatures,
        f"{hours:,.1f}",
        f"{speed:,.1f}",
        f"{events:,.0f}",
        f"{report_us:,.0f}",
    ]


def _profile(name: str) -> list[list[str]]:
    profile = cProfile.Profile()
    profile.runcall(run_job, Job(scenario=name, seed=1))
    stats = vars(pstats.Stats(profile))["stats"]
    whole = max(entry[3] for entry in stats.values())
    shares = []
    for text, (file, function) in PARTS.items():
        spent = sum(
            entry[3]
            for (path, _, called), entry in stats.items()
            if called == function and path.endswith(f"/{file}")
        )
        shares.append([text, f"{spent / whole:.0%}"])
    return shares


if __name__ == "__main__":
    main()
