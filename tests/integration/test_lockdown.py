"""A gate that dies and does not come back, with real processes on the fake driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.lockdown.lease import (
    boot_lease_path,
    is_watched,
    lease_path,
    watching_lock,
)
from flopgate_proto.values import LaneState
from flopgate_sim.nvml.values import NvmlError
from tests.support.gate_host import WATCHDOG_MS, GateHost
from tests.support.locked_down import BOUND_MS, reboot, running, watched_host
from tests.support.waiting import WAIT_S, until


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GateHost]:
    with watched_host(tmp_path) as made:
        yield made


@contextmanager
def neighbour(host: GateHost) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has a device node open and no context yet."""
    (node,) = Path(host.driver.device_dir).glob("nvidia0")
    with node.open("rb") as file, subprocess.Popen(["sleep", "600"], stdin=file) as process:
        try:
            yield process
        finally:
            process.kill()


def test_law_8_a_lockdown_is_seen_also_where_somebody_asked_as_it_started(tmp_path: Path) -> None:
    """Unseen, it would have a gate that stops hold every job, though somebody watches them."""
    with GateHost(tmp_path, {"run-7": [0]}, gpus=1) as host:
        lease = lease_path(host.door)
        asking = watching_lock(lease)
        assert asking.take(shared=True)
        assert not is_watched(lease), "two who ask see no lock-down in each other"
        host.watch()
        until(lambda: "asks just now" in host.watched(), "the lock-down to find who asks")
        asking.close()
        until(lambda: is_watched(lease), "the lock-down to be seen")


def test_law_8_compute_stops_within_the_watchdog_time_of_a_gate_that_was_killed(
    host: GateHost,
) -> None:
    running(host)
    job = host.compute(fmt="fp16", persistent=True)
    host.kill_gate()
    gone_ms = elapsed_ms()
    assert job.wait(WAIT_S) < 0, "a kernel that does not end by itself is ended"
    host.driver.wait_idle(0)
    assert host.last_math_ms(0) <= gone_ms + WATCHDOG_MS + BOUND_MS
    assert host.last_math_ms(0) > gone_ms, "it was given the time to come back"
    assert "gate.gone" in host.watched()
    until(lambda: "seen to stand" in host.watched(), "the lock-down to verify it")
    assert not (host.driver.device_dir / "nvidia0").stat().st_mode & 0o777, "closed, too"
    host.start()
    until(
        lambda: any(
            (one.id, one.subject) == ("lockdown.stopped", "run-7")
            for report in host.courier.chain()
            for one in report.findings
        ),
        "the next gate to tell of it",
    )
    until(lambda: not (host.state / "enforcement" / "lockdown.json").exists(), "it to be told")


def test_law_8_who_begins_or_wakes_on_a_halted_lane_without_a_gate_is_killed(
    host: GateHost,
) -> None:
    held = host.driver.start_workload(gpus=[0], fmt="fp16", share=0.5, drain_ms=100)
    host.start("acknowledge")
    host.until_state("run-7", LaneState.HALTED)
    until(lambda: host.driver.compute_mode(0), "the chip to be closed")
    host.kill_gate()
    with neighbour(host) as bystander:
        refused = host.driver.start_workload(gpus=[0], fmt="fp16", drain_ms=100)
        assert refused.wait(WAIT_S) > 0, "the driver takes nobody new"
        until(lambda: "closed" in host.watched(), "the lock-down to act")
        # Somebody with root lets a job in.
        host.driver.set_compute_mode(0, 0)
        (host.driver.device_dir / "nvidia0").chmod(0o666)
        late = host.driver.start_workload(gpus=[0], fmt="fp16", drain_ms=100)
        assert late.wait(WAIT_S) == -signal.SIGKILL
        host.driver.wait_idle(0)
        os.kill(held.pid, signal.SIGCONT)
        assert held.wait(WAIT_S) == -signal.SIGKILL, "it was woken"
        assert bystander.poll() is None, "without a context nothing computes"


def test_law_8_a_gate_that_dies_again_and_again_prolongs_nothing(host: GateHost) -> None:
    running(host)
    job = host.compute(fmt="fp16", persistent=True)
    host.kill_gate()
    gone_ms = elapsed_ms()
    while job.poll() is None:
        assert elapsed_ms() < gone_ms + WAIT_S * 1000
        host.start("cut")
        time.sleep(0.3)
        host.kill_gate()
    host.driver.wait_idle(0)
    assert host.last_math_ms(0) <= gone_ms + WATCHDOG_MS + BOUND_MS + 2_000


def test_law_8_a_gate_that_stands_still_is_killed_and_its_lane_stopped(host: GateHost) -> None:
    running(host)
    job = host.compute(fmt="fp16", persistent=True)
    assert host.gate is not None
    os.kill(host.gate.pid, signal.SIGSTOP)
    gone_ms = elapsed_ms()
    assert job.wait(WAIT_S) < 0
    assert host.gate.wait(WAIT_S) == -signal.SIGKILL
    host.driver.wait_idle(0)
    assert host.last_math_ms(0) <= gone_ms + WATCHDOG_MS + BOUND_MS


def test_a_lane_that_was_let_go_a_moment_ago_is_written_down_as_one(host: GateHost) -> None:
    host.start("acknowledge")
    host.until_state("run-7", LaneState.HALTED)

    def runs() -> bool:
        (lane,) = json.loads(lease_path(host.door).read_text())["terms"]["lanes"]
        return not lane["still"]

    host.courier.mode = "grant"
    until(lambda: "lane.runs" in host.logged(), "the lane to run")
    until(runs, "it to be written down before the next second is over", wait_s=0.5)
    host.kill_gate()
    assert runs()


def test_law_8_a_lease_that_becomes_unreadable_frees_nobody(host: GateHost) -> None:
    running(host)
    job = host.compute(fmt="fp16", persistent=True)
    time.sleep(1.0)
    host.kill_gate()
    gone_ms = elapsed_ms()
    lease_path(host.door).write_bytes(b"nonsense")
    assert job.wait(WAIT_S) < 0
    host.driver.wait_idle(0)
    assert gone_ms < host.last_math_ms(0) <= gone_ms + WATCHDOG_MS + BOUND_MS


def test_law_1_a_gate_that_stands_still_outlives_no_permit(host: GateHost) -> None:
    host.authority.policy = replace(host.authority.policy, watchdog_ms=120_000)
    running(host)
    job = host.compute(fmt="fp16", persistent=True)
    assert host.gate is not None
    os.kill(host.gate.pid, signal.SIGSTOP)
    assert job.wait(WAIT_S) < 0
    host.driver.wait_idle(0)
    assert host.last_math_ms(0) <= host.courier.last_grant_ms


def test_law_8_a_lockdown_that_is_killed_goes_on_where_it_was(host: GateHost) -> None:
    running(host)
    job = host.compute(fmt="fp16", persistent=True)
    host.kill_gate()
    gone_ms = elapsed_ms()
    up_ms = again(host)
    until(lambda: "lockdown freeze" in host.watched(), "the lock-down to act")
    if job.poll() is None:
        up_ms = again(host)
    assert job.wait(WAIT_S) < 0
    host.driver.wait_idle(0)
    assert host.last_math_ms(0) <= max(gone_ms + WATCHDOG_MS, up_ms) + BOUND_MS


def again(host: GateHost) -> int:
    """Another lock-down in the place of this one; when it was up."""
    lives = host.watched().count("lock-down watches")
    host.kill_lockdown()
    host.watch()
    until(lambda: host.watched().count("lock-down watches") > lives, "another lock-down")
    return elapsed_ms()


def test_a_gate_that_was_killed_knows_how_long_it_ran(host: GateHost) -> None:
    def ran_ms() -> int:
        terms = json.loads(lease_path(host.door).read_text())["terms"]
        return int(terms["running_ms"])

    running(host)
    until(lambda: ran_ms() >= 3_000, "the gate to have run for some seconds")
    host.kill_gate()
    before_ms, gone_ms = ran_ms(), elapsed_ms()
    host.start()
    until(lambda: ran_ms() != before_ms, "the next gate to write down its own")
    assert before_ms < ran_ms() <= before_ms + elapsed_ms() - gone_ms + 1_000


def test_law_8_a_workload_of_another_name_stops_neither_the_gate_nor_the_lockdown(
    host: GateHost,
) -> None:
    running(host)
    host.kill_gate()
    host.config.write_text(host.config.read_text().replace("run-7", "other"))
    host.start()
    host.until_state("other", LaneState.RUNNING)
    assert host.state_of("run-7") is None, "nobody can start a job on a lane without chips"
    job = host.compute(fmt="fp16", persistent=True)
    assert {lane.workload for lane in host.courier.chain()[-1].lanes} == {"run-7", "other"}
    host.kill_gate()
    assert job.wait(WAIT_S) < 0
    assert host.lockdown is not None
    assert host.lockdown.poll() is None


@pytest.mark.parametrize("damaged", [False, True])
def test_law_8_after_a_boot_nothing_begins_until_a_gate_permits_it(
    host: GateHost, *, damaged: bool
) -> None:
    running(host)
    until(boot_lease_path(host.state).exists, "the next boot to be written down")
    reboot(host)
    if damaged:
        boot_lease_path(host.state).write_bytes(b"{")
    host.watch()
    until(lambda: host.driver.compute_mode(0) != 0, "the chip to be closed")
    refused = host.driver.start_workload(gpus=[0], fmt="fp16", drain_ms=100)
    assert refused.wait(WAIT_S) > 0
    with neighbour(host) as bystander:
        running(host)
        until(lambda: host.driver.compute_mode(0) == 0, "the chip to be open")
        job = host.compute(fmt="fp16", drain_ms=100)
        time.sleep(1.5)
        assert job.poll() is None
        assert bystander.poll() is None


def test_law_8_who_begins_after_a_boot_where_the_driver_denies_nobody_is_killed(
    host: GateHost,
) -> None:
    running(host)
    until(boot_lease_path(host.state).exists, "the next boot to be written down")
    reboot(host)
    # As under MIG: the setter is refused.
    host.driver.fail_call("nvmlDeviceSetComputeMode", NvmlError.NOT_SUPPORTED)
    # Before the lock-down closes its node, too.
    job = host.compute(fmt="fp16", persistent=True)
    host.watch()
    assert job.wait(WAIT_S) == -signal.SIGKILL
