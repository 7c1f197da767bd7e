"""What a running gate gave its courier is what `outbox` shows, byte for byte."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from flopgate_proto.codec import envelope_from_wire
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost
from tests.support.waiting import until


def outbox(host: GateHost, *arguments: str) -> bytes:
    """The command, beside the running gate."""
    command = [sys.executable, "-m", "flopgate_agent.cli", "outbox", "--config", str(host.config)]
    return subprocess.run([*command, *arguments], capture_output=True, check=True).stdout


def test_what_left_a_running_gate_is_shown_as_it_left(tmp_path: Path) -> None:
    with GateHost(tmp_path, {"run-7": [0]}, gpus=1) as host:
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        until(lambda: len(host.courier.reports) >= 4, "four reports")
        shown = outbox(host).decode().splitlines()
        assert shown[0].startswith(f"enrolment/{host.authority.name}")
        for sequence, envelope in list(host.courier.reports.items())[:2]:
            raw = pb.SignedReport.FromString(outbox(host, str(sequence), "--raw"))
            assert envelope_from_wire(raw.envelope) == envelope
            assert not raw.rows
