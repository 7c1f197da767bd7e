"""Phases as a real gate on fake GPUs keeps them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_agent.cli import main
from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.gate_process.status_file import status_path
from flopgate_proto.codec import decode_report
from flopgate_proto.values import LaneState, Phase, PhaseRule, Scope, ScopeKind
from tests.support.fixed import GOVERNOR_UNIX_MS
from tests.support.gate_host import LIFETIME_MS, GateHost
from tests.support.waiting import WAIT_S, until

EVERYTHING = Scope(ScopeKind.EVERYTHING)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GateHost]:
    with GateHost(tmp_path, {"run-7": [0]}, gpus=1) as made:
        yield made


def ruled(host: GateHost, *rules: PhaseRule) -> None:
    host.authority.policy = replace(host.authority.policy, phases=rules)


def rule(phase: Phase, from_unix_ms: int = 0) -> PhaseRule:
    return PhaseRule(scope=EVERYTHING, phase=phase, from_unix_ms=from_unix_ms)


def status(host: GateHost) -> str:
    """Without a process that has to come up: what is looked for passes."""
    with redirect_stdout(io.StringIO()) as told:
        assert main(["status", "--file", str(status_path(host.door))]) == 0
    return told.getvalue()


def test_in_observe_an_emergency_stops_nothing_is_told_and_outlives_the_gate(
    host: GateHost,
) -> None:
    ruled(host, rule(Phase.OBSERVE))
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    job = host.compute(fmt="fp16", persistent=True)
    host.courier.order(host.authority.pause(scope=EVERYTHING, lapse_ms=600_000, emergency=True))
    until(lambda: "would be stopped: pause.latched" in status(host), "the status to tell")
    assert "phase observe  policy 1 of " in status(host)
    assert "were it enforced" in status(host)

    host.kill_gate()
    host.start("cut")
    until(lambda: "would be stopped: " in status(host), "the next gate to tell, cut off")
    assert "phase observe  policy 1 of " in status(host)
    done = host.driver.truth(0).total_flop
    until(lambda: host.driver.truth(0).total_flop > done, "the job to go on")
    assert host.stop_gate() == 0, "a gate that is told to stop leaves it running, too"
    done = host.driver.truth(0).total_flop
    until(lambda: host.driver.truth(0).total_flop > done, "the job to go on without it")
    assert job.poll() is None


def test_a_date_comes_while_the_host_is_cut_off(host: GateHost) -> None:
    ruled(host, rule(Phase.OBSERVE))
    begun_ms = elapsed_ms()
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    admitted_ms = elapsed_ms()
    job = host.compute(fmt="fp16", persistent=True)
    # The authority's time began with the admission: by the host's clock the permit ends first.
    begins_ms = elapsed_ms() - begun_ms + LIFETIME_MS + 10_000
    rules = (rule(Phase.OBSERVE), rule(Phase.ENFORCE, GOVERNOR_UNIX_MS + begins_ms))
    policy = host.authority.policy
    host.authority.policy = replace(policy, version=policy.version + 1, phases=rules)
    host.courier.order(host.authority.policy_order())
    until(lambda: "policy 2 of " in status(host), "the date to be known")
    host.courier.mode = "cut"
    until(lambda: "would be stopped: permit.exp" in status(host), "the permit to run out")
    assert host.driver.running(0)
    host.until_state("run-7", LaneState.HALTED)
    assert job.wait(WAIT_S) < 0
    policy = host.authority.policy
    stop_ms = policy.wind_down_ms + policy.drain_ms + 2_000
    assert host.last_math_ms(0) <= admitted_ms + begins_ms + stop_ms
    sent = [decode_report(one.payload) for one in host.courier.reports.values()]
    assert "phase.observe" in {found.id for report in sent for found in report.findings}
