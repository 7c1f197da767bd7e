"""What one process leaves to the next at a wrong moment, with real processes on the fake driver."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.clocks import read_boot_id
from flopgate_agent.enforcement import Enforcer, EnforcerConfig
from flopgate_agent.enforcement.jobs import lane_id
from flopgate_agent.lockdown.record import read_record, write_record
from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost
from tests.support.locked_down import WORKLOAD, running, watched_host
from tests.support.waiting import until

LIFETIME_MS = 120_000


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GateHost]:
    """A permit lasts for the whole test."""
    with watched_host(tmp_path) as made:
        made.authority.policy = replace(made.authority.policy, lifetime_ms=LIFETIME_MS)
        yield made


@contextmanager
def stalled_lockdown(host: GateHost) -> Iterator[None]:
    """The gate is gone; its lock-down has decided what is due, and gets no time to do it.

    Where it looks for what is held it finds a pipe into which nobody writes, up to the end.
    """
    pipe = host.state / "enforcement" / "stall.lane.json"
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    host.kill_gate()
    ends: list[int] = []

    def reads() -> bool:
        with suppress(OSError):
            ends.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(ends)

    until(reads, "the lock-down to act")
    pipe.unlink()
    try:
        yield
    finally:
        os.close(ends[0])


def goes_on(host: GateHost) -> None:
    """The job computes, now and from now on."""
    worked = host.driver.truth(0).total_flop
    until(lambda: host.driver.truth(0).total_flop > worked, "the job to go on")


def test_a_lockdown_that_got_no_time_does_not_do_late_what_was_due_before(host: GateHost) -> None:
    running(host)
    with stalled_lockdown(host):
        running(host)
        job = host.compute(fmt="fp16", share=0.5, drain_ms=100)
    until(lambda: "nothing is due any more" in host.watched(), "the lock-down to look again")
    assert "the lane is" not in host.watched(), "it froze or killed a lane that runs"
    goes_on(host)
    assert job.poll() is None


def test_a_lane_that_runs_is_let_go_whoever_froze_it_since(host: GateHost) -> None:
    running(host)
    job = host.compute(fmt="fp16", share=0.5, drain_ms=100)
    other = Enforcer(EnforcerConfig(state_dir=host.state / "enforcement", use_cgroups=False))
    assert other.freeze(lane_id(WORKLOAD), [job.pid]).done == (job.pid,)
    until(lambda: not other.frozen_pids(lane_id(WORKLOAD)), "the gate to let it go")
    goes_on(host)


def test_a_job_that_stood_goes_on_in_a_lane_of_another_name(host: GateHost) -> None:
    held = host.driver.start_workload(gpus=[0], fmt="fp16", share=0.5, drain_ms=100)
    host.start("acknowledge")
    host.until_state(WORKLOAD, LaneState.HALTED)
    host.stop_gate()
    host.config.write_text(host.config.read_text().replace(WORKLOAD, "run-9"))
    worked = host.driver.truth(0).total_flop
    host.start("acknowledge")
    host.until_state("run-9", LaneState.HALTED)
    assert host.driver.truth(0).total_flop == worked, "nothing permits it"
    host.courier.mode = "grant"
    host.until_state("run-9", LaneState.RUNNING)
    goes_on(host)
    assert held.poll() is None


def test_a_lockdown_that_starts_anew_loses_nothing_that_no_report_has_told_of(
    tmp_path: Path,
) -> None:
    with watched_host(tmp_path) as host:
        running(host)
        host.kill_gate()
        folder, boot_id = host.state / "enforcement", read_boot_id().hex()
        until(lambda: read_record(folder, boot_id), "the lock-down to write down what it stopped")
        host.kill_lockdown()
        (found,) = read_record(folder, boot_id)
        worked = replace(found, stood_ms=None, computed_ms=found.since_ms + 3_100)
        write_record(folder, boot_id, [worked])
        host.watch()
        until(lambda: read_record(folder, boot_id) != (worked,), "the next one to find it so")
        host.start()

        def told() -> bool:
            ids = {one.id for report in host.courier.chain() for one in report.findings}
            return "lockdown.computing_without_permission" in ids

        until(told, "a report to tell of both")
