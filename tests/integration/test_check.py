"""A job's prolog asks a real gate on fake GPUs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.cli import main
from flopgate_agent.gate_process.status_file import status_path
from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost
from tests.support.waiting import until


def check(door: Path) -> tuple[int, str]:
    """Exit status and what it says."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "flopgate_agent.cli", "check"),
            *("--file", str(status_path(door))),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_job_that_starts_once_check_is_open_gets_its_context(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with GateHost(tmp_path, {"train": [0]}, gpus=1) as host:
        # No renewal comes too late while the job starts.
        host.authority.policy = replace(host.authority.policy, lifetime_ms=120_000)
        assert check(host.door)[0] == 1
        host.start()
        # Before its admission a host is open, too.
        host.until_state("train", LaneState.RUNNING)
        until(lambda: check(host.door)[0] == 0, "the lane to be open")
        job = host.driver.start_workload(gpus=[0], drain_ms=50)
        assert job.poll() is None
        host.courier.order(host.authority.pause(emergency=True))
        host.until_state("train", LaneState.HALTED)
        until(lambda: check(host.door)[0] == 1, "the lane to be shut")
        assert check(host.door)[1].startswith("train: pause.latched: ")
        assert host.stop_gate() == 0
        # Its last word stands for a moment, then nobody's: too soon for a process to come up.
        assert main(["check", "--file", str(status_path(host.door))]) == 1
        told = capsys.readouterr()
        assert (told.out + told.err).startswith("train: gate.stopped: ")
