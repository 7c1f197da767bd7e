"""A real Slurm asks a real gate on fake GPUs before each job."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.gate_process.status_file import status_path
from flopgate_proto.values import LaneState
from flopgate_sim.nvml import Workload
from tests.support.gate_host import GateHost
from tests.support.slurm import Slurm
from tests.support.waiting import until

pytestmark = pytest.mark.components


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="s") as folder:
        yield Path(folder)


def work(host: GateHost, seconds: int = 1) -> str:
    """A job that computes for so long."""
    command = host.driver.workload_command(Workload(gpus=[0], fmt="fp16", seconds=seconds))
    env = " ".join(f"{name}={shlex.quote(value)}" for name, value in host.driver.env().items())
    return f"{env} {shlex.join(command)}"


def test_a_node_without_permission_is_drained_and_comes_back(tmp_path: Path, short: Path) -> None:
    with GateHost(tmp_path, {"train": [0]}, gpus=1) as host:
        host.start()
        host.until_state("train", LaneState.RUNNING)
        with Slurm(short, status_path(host.door), health=True) as slurm:
            until(lambda: slurm.state == "IDLE", "the node to be free")
            first = slurm.submit(work(host))
            until(lambda: slurm.job(first).startswith("COMPLETED"), "the first job to end")
            assert host.driver.truth(0).total_flop > 0

            pause = host.authority.pause(emergency=True)
            host.courier.order(pause)
            until(lambda: "flopgate: train: pause.latched" in slurm.state, "the node to be drained")
            assert "DRAIN" in slurm.state
            done = host.driver.truth(0).total_flop
            second = slurm.submit(work(host))
            until(lambda: slurm.job(second).startswith("PENDING"), "the second job to wait")

            host.courier.order(host.authority.resume(pause.digest))
            until(lambda: slurm.job(second).startswith("COMPLETED"), "the second job to run")
            assert host.driver.truth(0).total_flop > done
            until(lambda: slurm.state == "IDLE", "the node to be free again")
        assert host.stop_gate() == 0


def test_a_prolog_alone_refuses_the_job_and_drains_with_the_reason(
    tmp_path: Path, short: Path
) -> None:
    with GateHost(tmp_path, {"train": [0]}, gpus=1) as host:
        host.start()
        host.until_state("train", LaneState.RUNNING)
        host.courier.order(host.authority.pause(emergency=True))
        host.until_state("train", LaneState.HALTED)
        with Slurm(short, status_path(host.door), health=False) as slurm:
            until(lambda: slurm.state == "IDLE", "the node to be free")
            job = slurm.submit(work(host))
            until(lambda: "flopgate: train: pause.latched" in slurm.state, "the node to be drained")
            until(lambda: slurm.job(job).startswith("PENDING"), "the job to be requeued")
            assert host.driver.truth(0).total_flop == 0
        assert host.stop_gate() == 0


def test_what_somebody_else_drained_stays_drained(tmp_path: Path, short: Path) -> None:
    with GateHost(tmp_path, {"train": [0]}, gpus=1) as host:
        host.start()
        host.until_state("train", LaneState.RUNNING)
        with Slurm(short, status_path(host.door), health=True) as slurm:
            until(lambda: slurm.state == "IDLE", "the node to be free")
            slurm.drain("a new cable")
            pause = host.authority.pause(emergency=True)
            host.courier.order(pause)
            host.until_state("train", LaneState.HALTED)
            asked = slurm.asked + 1
            until(lambda: slurm.asked > asked, "the node to have looked while it may not compute")
            assert "flopgate" not in slurm.state
            host.courier.order(host.authority.resume(pause.digest))
            host.until_state("train", LaneState.RUNNING)
            asked = slurm.asked + 1
            until(lambda: slurm.asked > asked, "the node to have looked while it may")
            assert "a new cable" in slurm.state
            assert "flopgate" not in slurm.state
        assert host.stop_gate() == 0


def test_a_job_that_the_gate_holds_is_suspended_and_goes_on(tmp_path: Path, short: Path) -> None:
    with GateHost(tmp_path, {"train": [0]}, gpus=1) as host:
        host.start()
        host.until_state("train", LaneState.RUNNING)
        with Slurm(short, status_path(host.door), health=True, suspend=True) as slurm:
            until(lambda: slurm.state == "IDLE", "the node to be free")
            job = slurm.submit(work(host, seconds=20))
            until(lambda: host.driver.running(0), "the job to compute")
            pause = host.authority.pause()
            host.courier.order(pause)
            until(lambda: slurm.job(job).startswith("SUSPENDED"), "Slurm's clock to stand still")
            assert host.state_of("train") in {LaneState.FROZEN, LaneState.HALTED}
            assert (short / "held").read_text().split() == [job]
            done = host.driver.truth(0).total_flop
            host.courier.order(host.authority.resume(pause.digest))
            until(lambda: slurm.job(job).startswith("COMPLETED"), "the job to go on to its end")
            assert host.driver.truth(0).total_flop > done
            until(lambda: not (short / "held").exists(), "nothing to be held any more")
            until(lambda: slurm.state == "IDLE", "the node to be free again")
        assert host.stop_gate() == 0
