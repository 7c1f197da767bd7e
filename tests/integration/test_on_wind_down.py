"""The operator's command at a wind-down: real processes, a real gate, other users."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from flopgate_agent.winding_down.event import WindDown
from flopgate_agent.winding_down.process import Commands, boottime_ms
from tests.integration.test_checkpoints import pause_a_job, use_socket
from tests.support.gate_host import GateHost
from tests.support.waiting import WAIT_S, until

NOBODY = 65534
SAVE = """
import os, sys, time
path = sys.argv[1]
told = {name: value for name, value in os.environ.items() if name.startswith("FLOPGATE_")}
with open(path + ".part", "w") as file:
    print(os.getuid(), os.getgid(), told["FLOPGATE_PIDS"], told["FLOPGATE_WORKLOAD"],
          told["FLOPGATE_LEFT_MS"], file=file)
os.rename(path + ".part", path)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def service(path: Path, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    line = [sys.executable, "-m", "flopgate_agent.cli", "on-wind-down", "--socket", str(path)]
    with subprocess.Popen([*line, *command], stderr=subprocess.PIPE) as made:
        try:
            until(path.exists, "the socket")
            assert path.stat().st_mode & 0o777 == 0o600
            yield made
        finally:
            made.kill()


def test_the_command_runs_with_the_time_that_is_left(tmp_path: Path) -> None:
    path, saved = tmp_path / "notices", tmp_path / "saved"
    command = [sys.executable, "-c", SAVE, str(saved), "0"]
    with service(path, command) as made, GateHost(tmp_path, {"run-7": [0]}, gpus=1) as host:
        use_socket(host, path)
        pid = pause_a_job(host)
        until(saved.exists, "the command to run")
        uid, _gid, pids, workload, left_ms = saved.read_text().split()
        assert (int(uid), pids, workload) == (os.getuid(), str(pid), "run-7")
        assert 0 < int(left_ms) <= 60_000
        made.send_signal(signal.SIGTERM)
        assert made.wait(WAIT_S) == 0
        assert not path.exists()


def test_what_is_not_done_when_the_time_is_over_is_killed(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    commands = Commands([sys.executable, "-c", SAVE, str(saved), "600"])
    deadline_ms = boottime_ms() + 3_000
    event = WindDown(workload="run-7", deadline_ms=deadline_ms, pids=(os.getpid(),))
    commands.begin(event)
    commands.begin(event)
    (running,) = commands.running
    while not commands.idle:
        assert boottime_ms() < deadline_ms + 60_000
        commands.turn()
    assert boottime_ms() >= deadline_ms
    assert running.process.returncode == -signal.SIGKILL


@pytest.mark.components
def test_each_user_of_a_job_saves_as_himself() -> None:
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(["sleep", "600"], user=NOBODY, group=NOBODY) as job,
    ):
        os.chown(folder, NOBODY, NOBODY)
        saved = Path(folder) / "saved"
        # The system's Python: the tests' own may lie where nobody may look.
        commands = Commands(["/usr/bin/python3", "-c", SAVE, str(saved), "0"])
        deadline_ms = boottime_ms() + 60_000
        commands.begin(WindDown(workload="run-7", deadline_ms=deadline_ms, pids=(job.pid, 2**22)))
        while not commands.idle:
            commands.turn()
        job.kill()
        assert saved.read_text().split()[:3] == [str(NOBODY), str(NOBODY), str(job.pid)]


TRACED = "import ctypes, time; ctypes.CDLL(None).prctl(0x59616D61, -1); time.sleep(600)"
"""Lets whoever wants trace it (PR_SET_PTRACER), where the kernel asks."""
TRACER = """
import ctypes, sys, time
while ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), None, None):
    time.sleep(0.05)
print("seized", flush=True)
time.sleep(600)
"""


def test_nobody_who_traces_his_own_command_keeps_others_from_theirs() -> None:
    """Until its tracer waits for it, a traced process that was killed ends for nobody else."""
    commands = Commands([sys.executable, "-c", TRACED])
    deadline_ms = boottime_ms() + 3_000
    commands.begin(WindDown(workload="run-7", deadline_ms=deadline_ms, pids=(os.getpid(),)))
    (running,) = commands.running
    line = [sys.executable, "-c", TRACER, str(running.process.pid)]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as tracer:
        assert tracer.stdout is not None
        assert tracer.stdout.readline() == b"seized\n"
        while boottime_ms() < deadline_ms:
            commands.turn()
        commands.turn()
        assert len(commands.running) == 1, "nobody waits here"
        tracer.kill()
    while not commands.idle:
        assert boottime_ms() < deadline_ms + 60_000
        commands.turn()
    assert running.process.returncode == -signal.SIGKILL
