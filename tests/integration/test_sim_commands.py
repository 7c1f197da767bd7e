"""``flopgate-sim driver`` and ``job``: what a rehearsal by hand rests on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_sim.cli import main
from tests.support.waiting import WAIT_S

SIM = [sys.executable, "-m", "flopgate_sim.cli"]


@pytest.fixture
def exported(tmp_path: Path) -> Iterator[str]:
    """What a running driver of two GPUs says to export."""
    command = [*SIM, "driver", "--dir", str(tmp_path / "d"), "--gpus", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT_S) == 0


def test_a_program_that_exports_what_it_says_sees_the_gpus(exported: str) -> None:
    count = "import pynvml; pynvml.nvmlInit(); print(pynvml.nvmlDeviceGetCount())"
    done = subprocess.run(
        ["/bin/sh", "-c", f'{exported}; exec "$0" -c "{count}"', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.stdout.strip() == "2", done.stderr


def test_a_job_works_until_it_is_ended(exported: str, tmp_path: Path) -> None:
    assert exported
    command = [*SIM, "job", "--dir", str(tmp_path / "d")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words[:1] + words[2:5] == ["job", "on", "2", "GPUs;"]
        os.kill(int(words[1]), signal.SIGKILL)
        assert process.stdout.read().strip().endswith("was ended by SIGKILL")
        assert process.wait(WAIT_S) == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("command", "folder", "more"),
    [
        ("job", "none", []),
        ("driver", "d", ["--gpus", "0"]),
        ("driver", "d", ["--gpus", "17"]),
        ("driver", "/dev/null", []),
    ],
)
def test_odd_options_are_refused_in_one_line(
    tmp_path: Path, command: str, folder: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--dir", str(tmp_path / folder), *more]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"flopgate-sim: sim.{command}.")
    assert told.count("\n") == 1
