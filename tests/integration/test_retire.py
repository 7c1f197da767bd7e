"""A host is taken out of service with real processes: what held it lets go, and stays let go."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.gate_process.status_file import status_path
from flopgate_agent.host_status import read_status
from flopgate_agent.lockdown.lease import boot_lease_path
from flopgate_proto.codec import PayloadType
from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost
from tests.support.waiting import until

COMMAND = [sys.executable, "-m", "flopgate_agent.cli", "retire"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GateHost]:
    with GateHost(tmp_path, {"run-7": [0]}, gpus=1) as made:
        made.watch()
        yield made


def retire(host: GateHost, *more: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--config", str(host.config), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_retired_host_is_free_and_one_that_is_not_is_locked_down(host: GateHost) -> None:
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    held = host.compute(fmt="fp16", share=0.5, drain_ms=100)
    boot_lease = boot_lease_path(host.state)
    until(boot_lease.exists, "after a boot without a gate nothing to begin here")

    # The authority is not reached: the host stands, and is held until it has said so.
    host.courier.mode = "cut"

    def held_back() -> bool:
        done = retire(host, "--wait", "6")
        assert done.returncode == 1
        assert "retire.waiting" in done.stderr
        return "its authorities are told" in done.stdout

    until(held_back, "the lanes to stand")
    assert read_status(str(status_path(host.door)))["host_state"] == "retiring"
    assert boot_lease.exists()
    assert not host.driver.running(0)
    until(lambda: host.driver.compute_mode(0), "the chip to be closed to new jobs")

    host.courier.mode = "grant"
    host.kill_gate()
    host.start()
    done = retire(host)
    assert (done.returncode, done.stderr) == (0, "")
    assert "retired" in done.stdout.splitlines()[-1]
    last = host.courier.reports[max(host.courier.reports)]
    assert last.payload_type == PayloadType.RETIREMENT
    until(lambda: not boot_lease.exists(), "nothing to be denied after a boot")
    assert host.stop_gate() == 0
    # While it was held, and its gate away for long, the lock-down may have seen to it.
    closed = host.watched().count("closed")
    until(lambda: not host.driver.compute_mode(0), "the chip to be open")
    job = host.driver.start_workload(gpus=[0], fmt="fp16", share=0.5, drain_ms=100)
    until(lambda: host.driver.running(0), "a job without any gate")
    time.sleep(1.5)  # the lock-down looks each second
    assert job.poll() is None
    assert host.watched().count("closed") == closed
    assert held.poll() is None or held.returncode is not None
