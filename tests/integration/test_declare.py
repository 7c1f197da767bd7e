"""A job declares what it computes for, under a real gate: its chips move, and nothing is lost."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost
from tests.support.service_manager import ServiceManager
from tests.support.stage import mount
from tests.support.waiting import WAIT_S, until

TFLOP = 10**12


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GateHost]:
    (tmp_path / "manager").mkdir()
    with (
        ServiceManager(tmp_path / "manager") as manager,
        GateHost(tmp_path, {"undeclared": [0, 1]}, gpus=2) as made,
    ):
        made.manager = manager
        config = made.config.read_text()
        made.config.write_text(f'declarable = ["run-8"]\n{config}')
        made.authority.policy = replace(
            made.authority.policy, lifetime_ms=120_000, watchdog_ms=60_000
        )
        yield made


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """The job's own."""
    folder = Path(mount()) / f"flopgate-declare-{os.getpid()}"
    folder.mkdir()
    yield folder
    until(lambda: not (folder / "cgroup.procs").read_text(), "the job to be gone")
    folder.rmdir()


def declare(
    host: GateHost, workload: str, cgroup: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """As a job does, from within its own cgroup."""
    command = [sys.executable, "-m", "flopgate_agent.cli", "declare", workload]
    command += ["--door", str(host.door)]
    if cgroup is not None:
        script = f"echo $$ > {cgroup}/cgroup.procs; exec {shlex.join(command)}"
        command = ["sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.components
def test_laws_1_to_3_a_declared_chip_moves_with_its_flop_split_at_the_move(
    cgroup: Path, host: GateHost
) -> None:
    host.watch()
    host.start()
    host.until_state("undeclared", LaneState.RUNNING)
    assert "declare.nothing" in declare(host, "run-8", cgroup).stderr
    assert "declare.workload" in declare(host, "run-9", cgroup).stderr
    job = host.compute(fmt="fp16", share=0.5, drain_ms=100)
    (cgroup / "cgroup.procs").write_text(str(job.pid))
    until(lambda: "allowance" in (host.manager.store if host.manager else {}), "what is kept")
    gate = host.gate
    assert gate is not None

    def declared() -> bool:
        done = declare(host, "run-8", cgroup)
        assert done.returncode == 0 or "declare.soon" in done.stderr or "nothing" in done.stderr
        return done.returncode == 0

    until(declared, "the gate to take it")
    assert gate.wait(WAIT_S) == 0, "a move is a restart"
    before = host.courier.chain()
    host.stop_gate()
    host.start("acknowledge")
    host.until_state("run-8", LaneState.HALTED)
    assert job.poll() is None, "held, for the new lane has no permission yet"
    stood = host.driver.truth(0).total_flop
    assert host.state_of("undeclared") is LaneState.RUNNING, "what was kept permits the rest"
    host.courier.mode = "grant"
    host.until_state("run-8", LaneState.RUNNING)
    until(lambda: host.driver.truth(0).total_flop > stood, "the job to go on")
    host.settle()
    after = host.courier.chain()
    lanes = {lane.workload: lane for lane in after[-1].lanes}
    assert lanes["run-8"].chips == (0,)
    assert lanes["undeclared"].chips == (1,)
    (old,) = before[-1].lanes
    # What was computed up to the move stays where it was; two restarts round by a teraFLOP each.
    assert lanes["undeclared"].total.nominal_tflop <= old.total.nominal_tflop + 4
    booked = sum(lane.allotted_tflop + lane.unaccounted_tflop for lane in lanes.values())
    assert booked + 4 >= stood // TFLOP, "nothing is in no book"
    assert declare(host, "run-8", cgroup).returncode == 0, "again changes nothing"
    assert host.door.with_suffix(".declare").exists()


def test_without_somebody_who_keeps_the_permission_nothing_moves(tmp_path: Path) -> None:
    with GateHost(tmp_path, {"undeclared": [0]}, gpus=1) as host:
        config = host.config.read_text()
        host.config.write_text(f'declarable = ["run-8"]\n{config}')
        host.start()
        host.until_state("undeclared", LaneState.RUNNING)
        assert "declare.unkept" in declare(host, "run-8").stderr
        assert host.state_of("undeclared") is LaneState.RUNNING
