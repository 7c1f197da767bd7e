"""What a job and the operator's own service are told before a stop, by a real gate."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from flopgate_proto.values import LaneState
from tests.support.gate_host import WIND_DOWN_MS, GateHost
from tests.support.waiting import WAIT_S, until

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "docs" / "samples" / "pytorch_checkpoint.py"
STUB = ROOT / "tests" / "support" / "torch_stub"


def use_socket(host: GateHost, path: Path) -> None:
    host.config.write_text(f'notice_socket = "{path}"\n{host.config.read_text()}')


def pause_a_job(host: GateHost) -> int:
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    job = host.compute(drain_ms=50)
    # The gate must have looked at it.
    host.settle()
    host.courier.order(host.authority.pause())
    return job.pid


def test_a_service_is_told_of_a_wind_down(tmp_path: Path) -> None:
    path = tmp_path / "notices"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service,
        GateHost(tmp_path, {"run-7": [0]}, gpus=1) as host,
    ):
        service.bind(str(path))
        service.settimeout(WAIT_S)
        use_socket(host, path)
        pid = pause_a_job(host)
        event = json.loads(service.recv(65536))
        now_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        assert (event["event"], event["workload"], event["pids"]) == ("wind-down", "run-7", [pid])
        assert 0 < event["left_ms"] <= WIND_DOWN_MS
        assert now_ms - 1_000 < event["deadline_boottime_ms"] <= now_ms + WIND_DOWN_MS
        host.until_state("run-7", LaneState.HALTED)


def test_a_service_that_is_not_there_or_does_not_read_stops_no_stop(tmp_path: Path) -> None:
    path = tmp_path / "notices"
    with GateHost(tmp_path, {"run-7": [0]}, gpus=1) as host:
        use_socket(host, path)
        pause_a_job(host)
        host.until_state("run-7", LaneState.HALTED)
        assert "nobody takes notices" in host.logged()


def test_the_pytorch_sample_saves_when_it_is_told_and_goes_on_from_there(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.pt"
    command = [sys.executable, str(SAMPLE), str(checkpoint)]
    env = {**os.environ, "PYTHONPATH": str(STUB)}
    with subprocess.Popen([*command, "1000000"], env=env, stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        until(lambda: _catches_usr1(job.pid), "the sample to listen")
        job.send_signal(signal.SIGUSR1)
        line = job.stdout.readline().decode()
        assert line.startswith("saved after step ")
        job.kill()
    saved = pickle.loads(checkpoint.read_bytes())  # noqa: S301 - the sample wrote it
    assert saved["step"] == saved["optimizer"]["steps"] == int(line.split()[-1])
    steps = saved["step"] + 3
    again = subprocess.run([*command, str(steps)], env=env, capture_output=True, check=True)
    assert again.stdout.decode().startswith(f"goes on after step {saved['step']}")
    ended = pickle.loads(checkpoint.read_bytes())  # noqa: S301 - as above
    assert ended["step"] == ended["optimizer"]["steps"] == steps


def _catches_usr1(pid: int) -> bool:
    text = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in text.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)
