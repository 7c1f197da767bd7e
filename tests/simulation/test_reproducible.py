"""Same seed, same trace, bit for bit: across processes, hash seeds and Python versions."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

from flopgate_sim.campaign.outcome import CHEAP, REAL, Job
from flopgate_sim.world.run import run_job
from tests.support.waiting import WAIT_S

SEED = 7
GOLDEN = {
    CHEAP: "45be88e7318bf4e7bf91ff5716dd1dbb6ad8179ccd3d6c65bd542d8d7b0afa48",
    REAL: "45be88e7318bf4e7bf91ff5716dd1dbb6ad8179ccd3d6c65bd542d8d7b0afa48",
}
"""Traces of tiny-faults. They change with whatever changes a decision, a message or a word of the
timeline: look at why, then take the new ones."""
NEWER = ("python3.12", "python3.13", "python3.14", "python3.15")
PROGRAM = (
    "from flopgate_sim.campaign.outcome import Job\n"
    "from flopgate_sim.world.run import run_job\n"
    "print(run_job(Job(scenario='tiny-faults', seed=7)).trace_digest)\n"
)


@pytest.mark.parametrize("signatures", [CHEAP, REAL])
def test_the_trace_is_the_golden_one(signatures: str) -> None:
    outcome = run_job(Job(scenario="tiny-faults", seed=SEED, signatures=signatures))
    assert outcome.trace_digest == GOLDEN[signatures]


@pytest.mark.parametrize("hash_seed", ["1", "4711"])
def test_another_process_gives_the_same_trace(hash_seed: str) -> None:
    assert _trace(sys.executable, hash_seed) == GOLDEN[CHEAP]


def test_newer_pythons_give_the_same_trace(record_property: Callable[[str, object], None]) -> None:
    tried = {name: _trace(found, "0") for name in NEWER if (found := shutil.which(name))}
    # An interpreter without the dependencies cannot run it and prints nothing.
    ran = {name: trace for name, trace in tried.items() if trace}
    record_property("traced by", ", ".join([sys.version.split()[0], *ran]))
    assert set(ran.values()) <= {GOLDEN[CHEAP]}


def _trace(python: str, hash_seed: str) -> str:
    done = subprocess.run(
        [python, "-c", PROGRAM],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    return done.stdout.strip()
