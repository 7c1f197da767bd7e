"""Pods are kept from a node by a taint, on a stub of the API server that checks each request."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.cli import main
from flopgate_agent.clocks import elapsed_ms, read_boot_id
from flopgate_agent.gate_process.status_file import StatusFile
from flopgate_agent.kubernetes.api import in_pod
from flopgate_agent.kubernetes.patches import Permitted, condition, taint
from flopgate_proto.errors import ConfigError
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.api_server import NODE, OTHERS, ApiServer
from tests.support.waiting import WAIT_S, until

RUNS = pb.LaneSnapshot(workload="train", state=pb.LANE_STATE_RUNNING, may_start=True)
STANDS = pb.LaneSnapshot(
    workload="train",
    state=pb.LANE_STATE_HALTED,
    stop_reason="pause.latched",
    stop_detail="paused (cluster:alpha): rehearsal",
    way_back="Officers lift it.",
)


class Gate:
    """Writes a host's status as often as a gate."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lane = RUNS
        self.write()

    def write(self) -> None:
        """Once."""
        shown = pb.Snapshot(host_state="enrolled", lanes=[self.lane])
        StatusFile(self.path, read_boot_id().hex()).write(shown, elapsed_ms())


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate.status")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with ApiServer(tmp_path / "account") as server:
        yield server
        assert server.wrong == []


def command(gate: Gate, server: ApiServer, *more: str) -> list[str]:
    """Arguments of the command line."""
    return [
        *("k8s-taint", "--file", str(gate.path), "--node", NODE),
        *("--api-server", server.url, "--account", str(server.account), *more),
    ]


def test_a_node_is_tainted_with_the_reason_and_freed_again(gate: Gate, server: ApiServer) -> None:
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(0.5):
            gate.write()

    writer = threading.Thread(target=renew)
    writer.start()
    process = subprocess.Popen(
        [sys.executable, "-m", "flopgate_agent.cli", *command(gate, server, "--every", "0.1")],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: server.conditions, "the first word")
        assert (server.reason(), server.conditions[0]["status"]) == (None, "True")
        gate.lane = STANDS
        until(lambda: server.reason() == "pause.latched", "the taint")
        until(lambda: server.conditions[0]["status"] == "False", "the condition")
        assert server.conditions[0]["reason"] == "PauseLatched"
        assert "rehearsal. Officers lift it." in server.conditions[0]["message"]
        server.refuses, gate.lane = True, RUNS
        seen = server.requests
        until(lambda: server.requests > seen + 2, "more tries")
        assert server.reason() == "pause.latched"
        server.refuses = False
        until(lambda: server.reason() is None, "the node to be free")
        assert OTHERS in server.taints
    finally:
        process.terminate()
        _, told = process.communicate(timeout=WAIT_S)
        ended.set()
        writer.join()
    assert process.returncode == 0
    assert "k8s.refused" in told
    assert "nodes is forbidden" in told


def test_a_node_whose_gate_is_gone_is_tainted(gate: Gate, server: ApiServer) -> None:
    gate.path.unlink()
    assert main(command(gate, server, "--once")) == 0
    assert server.reason() == "status.none"


def test_a_server_that_is_somebody_else_gets_no_token(
    gate: Gate, server: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ApiServer(tmp_path / "other") as other:
        (server.account / "ca.crt").write_bytes((other.account / "ca.crt").read_bytes())
    assert main(command(gate, server, "--once")) == 1
    assert "k8s.unreachable" in capsys.readouterr().err
    assert server.requests == 0


def test_bad_arguments_are_one_line(
    gate: Gate, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command(gate, server), "--api-server", "http://127.0.0.1:1"]) == 2
    assert "k8s.url" in capsys.readouterr().err
    assert main([*command(gate, server), "--account", "/none"]) == 2
    assert "k8s.account" in capsys.readouterr().err


def test_the_api_server_is_found_as_in_every_pod() -> None:
    where = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    assert in_pod(where) == "https://[fd00::1]:443"
    with pytest.raises(ConfigError):
        in_pod({})


@pytest.mark.parametrize("reason", ["a" * 100, "x/y z", "...", "pause.latched"])
def test_any_reason_becomes_a_label_and_a_condition(reason: str) -> None:
    now = Permitted(reason=reason, message="m")
    value = taint(now)["spec"]["taints"][0]["value"]
    assert 0 < len(value) <= 63
    assert value[0].isalnum()
    assert value[-1].isalnum()
    one = condition(now, changed="c", heartbeat="h")["status"]["conditions"][0]
    assert one["reason"].isalnum()
