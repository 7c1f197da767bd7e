"""Whom the lock-down leaves alone: jobs that stand or have a gate, hosts that no rule binds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.lockdown.lease import acting_lock, boot_lease_path, lease_path
from flopgate_agent.lockdown.process import TICK_S
from flopgate_proto.values import LaneState, Phase, PhaseRule, Scope, ScopeKind
from flopgate_sim.nvml import Workload
from tests.support.gate_host import WATCHDOG_MS, GateHost
from tests.support.locked_down import BOUND_MS, reboot, running, setter_of, watched_host
from tests.support.waiting import until

PATIENT_MS: Final = 3 * WATCHDOG_MS
"""A watchdog time that is long enough for three starts of a gate, on any machine."""
UNADMITTED, RETURNED = "unadmitted", "returned"
TOOTHLESS: Final = (Phase.OBSERVE, Phase.WARN)


def rule(phase: Phase) -> PhaseRule:
    return PhaseRule(scope=Scope(ScopeKind.EVERYTHING), phase=phase, from_unix_ms=0)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A host with a job, and when a lock-down that stopped it would have done so."""

    host: GateHost
    job: subprocess.Popen[bytes]
    over_ms: int

    def spared(self) -> bool:
        """Whether the job lives, once the watchdog time is over for long."""
        until(lambda: elapsed_ms() > self.over_ms, "the watchdog time to be over")
        return self.job.poll() is None


@pytest.fixture(scope="module", autouse=True)
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Case]]:
    """Hosts whose watchdog times pass while other tests run."""
    with ExitStack() as stack:

        def host(name: str) -> GateHost:
            return stack.enter_context(watched_host(tmp_path_factory.mktemp(name)))

        made = {RETURNED: returned(host(RETURNED)), UNADMITTED: unadmitted(host(UNADMITTED))}
        for phase in TOOTHLESS:
            made[phase.name] = toothless(host(phase.name), phase)
        yield made


def returned(host: GateHost) -> Case:
    """Its gate was killed three times and is there again."""
    host.authority.policy = replace(
        host.authority.policy, lifetime_ms=3 * PATIENT_MS, watchdog_ms=PATIENT_MS
    )
    running(host)
    job = host.compute(fmt="fp16", share=0.5, drain_ms=100)
    gone_ms = 0
    for _ in range(3):
        host.kill_gate()
        gone_ms = elapsed_ms()
        time.sleep(0.5)
        running(host)
    return Case(host=host, job=job, over_ms=gone_ms + PATIENT_MS + BOUND_MS)


def unadmitted(host: GateHost) -> Case:
    """Its gate was killed before any authority admitted it."""
    host.start("cut")
    until(lambda: lease_path(host.door).exists(), "the lease")
    job = host.driver.start_workload(gpus=[0], fmt="fp16", drain_ms=100)
    return killed(host, job)


def toothless(host: GateHost, phase: Phase) -> Case:
    """Its gate was killed in a phase that only looks on."""
    host.authority.policy = replace(host.authority.policy, phases=(rule(phase),))
    running(host)
    job = host.compute(fmt="fp16", drain_ms=100)
    host.settle()
    return killed(host, job)


def killed(host: GateHost, job: subprocess.Popen[bytes]) -> Case:
    host.kill_gate()
    return Case(host=host, job=job, over_ms=elapsed_ms() + WATCHDOG_MS + 2 * BOUND_MS)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GateHost]:
    with watched_host(tmp_path) as made:
        yield made


def test_a_job_that_stood_still_goes_on_with_the_next_gate(host: GateHost) -> None:
    held = host.driver.start_workload(gpus=[0], fmt="fp16", share=0.5, drain_ms=100)
    host.start("acknowledge")
    host.until_state("run-7", LaneState.HALTED)
    host.kill_gate()
    until(lambda: "closed" in host.watched(), "the lock-down to act")
    time.sleep(1.5)
    assert held.poll() is None
    worked = host.driver.truth(0).total_flop
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    until(lambda: host.driver.truth(0).total_flop > worked, "the held job to go on")


LAUNCHER = """
import subprocess, sys
node = open(sys.argv[1], "rb")
subprocess.Popen(sys.argv[2:]).wait()
"""


def test_a_launcher_that_holds_a_node_costs_no_job_that_stands(host: GateHost) -> None:
    (node,) = Path(host.driver.device_dir).glob("nvidia0")
    rank = Workload(gpus=[0], fmt="fp16", share=0.5, drain_ms=100)
    command = [sys.executable, "-c", LAUNCHER, str(node), *host.driver.workload_command(rank)]
    env = {**os.environ, **host.driver.env()}
    with subprocess.Popen(command, env=env) as launcher:
        until(lambda: host.driver.running(0), "the job to compute")
        (held,) = host.driver.pids(0)
        try:
            host.start("acknowledge")
            host.until_state("run-7", LaneState.HALTED)
            host.kill_gate()
            until(lambda: "closed" in host.watched(), "the lock-down to act")
            time.sleep(1.5)
            assert launcher.poll() is None
            assert held in host.driver.pids(0)
        finally:
            os.kill(held, signal.SIGKILL)


def test_a_boot_of_a_host_where_rules_do_not_bite_any_more_denies_nothing(host: GateHost) -> None:
    running(host)
    until(boot_lease_path(host.state).exists, "the next boot to be written down")
    policy = host.authority.policy
    looser = replace(policy, version=policy.version + 1, phases=(rule(Phase.OBSERVE),))
    host.authority.policy = looser
    host.courier.order(host.authority.policy_order())
    until(lambda: not boot_lease_path(host.state).exists(), "the next boot to be free")
    reboot(host)
    host.watch()
    job = host.compute(fmt="fp16", drain_ms=100)
    time.sleep(3.0)
    assert job.poll() is None


def test_a_host_that_nobody_admitted_is_left_alone(cases: dict[str, Case]) -> None:
    case = cases[UNADMITTED]
    assert case.spared()
    assert json.loads(lease_path(case.host.door).read_text())["terms"]["lanes"] == []


@pytest.mark.parametrize("phase", TOOTHLESS)
def test_where_rules_do_not_bite_nothing_is_stopped(cases: dict[str, Case], phase: Phase) -> None:
    assert cases[phase.name].spared()


def test_a_gate_that_comes_back_in_time_loses_no_job(cases: dict[str, Case]) -> None:
    case = cases[RETURNED]
    assert case.spared()
    case.host.until_state("run-7", LaneState.RUNNING)
    assert "gate.gone" not in case.host.watched()


def test_the_last_act_of_a_lockdown_keeps_no_job_out_of_a_lane_that_runs(host: GateHost) -> None:
    running(host)
    host.kill_gate()
    setter = setter_of(host)
    os.kill(setter, signal.SIGSTOP)
    with closing(acting_lock(lease_path(host.door))) as lock:
        end_s = time.monotonic() + 3 * TICK_S
        while time.monotonic() < end_s:
            assert not lock.take(), "a gate waits until the child is done"
            time.sleep(0.02)
    assert host.lockdown is not None
    os.kill(host.lockdown.pid, signal.SIGSTOP)
    running(host)
    assert host.gate is not None
    os.kill(host.gate.pid, signal.SIGSTOP)
    os.kill(setter, signal.SIGCONT)
    until(lambda: host.driver.compute_mode(0), "the chip to be closed over the head of the gate")
    os.kill(host.gate.pid, signal.SIGCONT)
    until(lambda: not host.driver.compute_mode(0), "the gate to open it again")
    os.kill(host.lockdown.pid, signal.SIGCONT)
    assert host.compute(fmt="fp16", drain_ms=100).poll() is None
