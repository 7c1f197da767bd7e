"""The gate as a service: what it says to systemd, and what a restart keeps."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import Final

import pytest

from flopgate_agent.clocks import elapsed_ms
from flopgate_proto.values import LaneReport, LaneState
from tests.support.gate_host import WATCHDOG_MS, GateHost
from tests.support.resting import rested_ms
from tests.support.service_manager import ServiceManager
from tests.support.waiting import WAIT_S, until

STOOD_S: Final = 2.0


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GateHost]:
    (tmp_path / "manager").mkdir()
    with (
        ServiceManager(tmp_path / "manager") as manager,
        GateHost(tmp_path, {"run-7": [0]}, gpus=1) as made,
    ):
        made.manager = manager
        yield made


def test_the_gate_says_that_it_serves_that_it_lives_and_that_it_ends(host: GateHost) -> None:
    assert host.manager is not None
    host.manager.watchdog_ms = 900
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    said = host.manager.said
    until(lambda: said.count("WATCHDOG=1") >= 3, "three signs of life")
    assert "READY=1" in said
    assert host.stop_gate() == 0
    # It lives while it stops its lanes.
    assert "STOPPING=1" in said[said.index("READY=1") :]


def busy(host: GateHost) -> subprocess.Popen[bytes]:
    """A gate with a lock-down beside it, and a job that computes with permission."""
    host.watch()
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    # A first look that came late is charged at the peak, before anybody computes: reported by now.
    host.settle()
    job = host.compute(fmt="fp16", persistent=True)
    until(lambda: "allowance" in manager_of(host).store, "the allowance to be kept")
    # The looks and reports that follow know of the job.
    host.settle()
    return job


def manager_of(host: GateHost) -> ServiceManager:
    assert host.manager is not None
    return host.manager


@pytest.mark.parametrize("crash", [False, True])
def test_law_9_a_restart_under_a_running_job_stops_nothing_and_loses_no_flop(
    host: GateHost, *, crash: bool
) -> None:
    patient = replace(host.authority.policy, lifetime_ms=120_000, watchdog_ms=60_000)
    host.authority.policy = patient
    job = busy(host)
    idle = next(
        lane
        for report in reversed(host.courier.chain())
        for lane in report.lanes
        if not lane.measured.nominal_tflop
    )
    begun = host.driver.truth(0)
    for _ in range(2):
        if crash:
            host.kill_gate()
        else:
            assert host.stop_gate() == 0
        # The courier stays away: nothing but what was kept permits the job.
        host.start("cut")
        host.until_state("run-7", LaneState.RUNNING)
    assert rested_ms(begun, host.driver.truth(0)) < 500, "the job did not stop"
    assert job.poll() is None
    job.kill()
    job.wait()
    host.driver.wait_idle(0)
    truth = host.driver.truth(0).flop["fp16"] / 10**12

    def reported() -> LaneReport:
        return host.courier.chain()[-1].lanes[0]

    def charged_tflop() -> int:
        return reported().total.nominal_tflop - idle.total.nominal_tflop

    until(lambda: bool(host.courier.reports), "a report")
    until(lambda: charged_tflop() >= truth * 0.99, "all of it to be reported")
    host.settle()
    assert charged_tflop() <= truth * 1.05 + 10
    assert reported().unaccounted_tflop - idle.unaccounted_tflop <= 5, "all of it under the grant"
    assert "gate.gone" not in host.watched()


def test_law_1_what_was_kept_ends_when_the_permit_does(host: GateHost) -> None:
    job = busy(host)
    until_ms = host.courier.last_grant_ms
    host.courier.mode = "cut"
    host.stop_gate()
    host.start("cut")
    host.until_state("run-7", LaneState.HALTED)
    assert job.wait(WAIT_S) < 0, "a kernel that does not end by itself"
    assert host.last_math_ms(0) <= max(until_ms, host.courier.last_grant_ms)
    host.stop_gate()
    host.start("cut")
    host.until_state("run-7", LaneState.HALTED)


def test_law_8_a_gate_that_was_stopped_and_does_not_come_back_leaves_nothing_running(
    host: GateHost,
) -> None:
    job = busy(host)
    assert host.stop_gate() == 0
    gone_ms = elapsed_ms()
    assert job.poll() is None
    assert job.wait(WAIT_S) < 0
    assert host.last_math_ms(0) <= gone_ms + WATCHDOG_MS + 2_000


def test_law_6_a_pause_outlives_the_restart_and_what_was_kept(host: GateHost) -> None:
    busy(host)
    host.courier.order(host.authority.pause(emergency=True))
    host.until_state("run-7", LaneState.HALTED)
    host.kill_gate()
    host.start("cut")
    host.until_state("run-7", LaneState.HALTED)
    assert host.reason("run-7") == "pause.latched"


def test_without_a_lockdown_a_gate_that_is_told_to_stop_holds_its_lanes(host: GateHost) -> None:
    job = busy(host)
    host.kill_lockdown()
    assert host.stop_gate() == 0
    assert job.wait(WAIT_S) < 0
    assert not host.driver.running(0)


def test_law_1_counters_that_stand_with_the_clock_are_no_proof_that_a_chip_stands(
    host: GateHost,
) -> None:
    job = busy(host)
    host.kill_lockdown()
    engine = host.driver.engine_pid
    # The driver shows what it showed before, as where nothing refreshes its counters.
    os.kill(engine, signal.SIGSTOP)
    again = Timer(STOOD_S, os.kill, (engine, signal.SIGCONT))
    again.start()
    try:
        assert host.stop_gate() == 0
    finally:
        again.join()
    assert job.wait(WAIT_S) < 0
    assert not host.driver.running(0)
