"""Commands whose standard streams are closed, narrow, or read by nobody to the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flopgate_agent.clocks import elapsed_ms, read_boot_id
from flopgate_agent.gate_process.status_file import StatusFile
from flopgate_proto.v1 import flopgate_pb2 as pb

AGENT = ("-m", "flopgate_agent.cli")
OPEN = pb.LaneSnapshot(
    workload="très", state=pb.LANE_STATE_RUNNING, may_start=True, total=pb.Figures()
)
# Of each program, what it says without a host or a governor.
SAID = {
    "flopgate_agent": ("outbox", "--help"),
    "flopgate_governor": ("status", "--help"),
    "flopgate_sim": ("list",),
}
SHOWN = pb.Snapshot(host_state="enrolled", lanes=[OPEN])


@pytest.fixture
def status(tmp_path: Path) -> str:
    """Of a gate that lets jobs start."""
    path = tmp_path / "gate.status"
    StatusFile(path, read_boot_id().hex()).write(SHOWN, elapsed_ms())
    return str(path)


def run(line: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A shell's line, in which "$@" is the command."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line, "bash", sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "", **env},
    )


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_prolog_without_streams_is_told_by_the_exit_status(status: str, closed: str) -> None:
    done = run(f'"$@" {closed}', *AGENT, "check", "--file", status)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_standard_input_holds_nothing() -> None:
    done = run('"$@" 0<&-', *AGENT, "license", "show", "-")
    assert done.returncode == 1
    assert "envelope.malformed" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_opened_gets_no_number_of_a_standard_stream(tmp_path: Path) -> None:
    """Else what a library writes to number 2 lands in a file of ours."""
    path = tmp_path / "opened"
    program = (
        "import os\n"
        "from flopgate_proto.command_line import mend_streams\n"
        "mend_streams()\n"
        f"file = open({str(path)!r}, 'w')\n"
        "os.write(2, b'noise')\n"
        "file.write(str(file.fileno()))\n"
    )
    run('"$@" 0<&- 1>&- 2>&-', "-c", program)
    assert int(path.read_text(encoding="utf-8")) > 2


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_enough_is_no_fault(status: str, unbuffered: str) -> None:
    """Its end is waited for, so that nobody reads when the command writes."""
    line, words = '{ sleep 0.3; "$@"; } | true', ("status", "--file", status)
    done = run(line, *AGENT, *words, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("program", SAID)
def test_no_program_minds_a_reader_that_has_enough(program: str) -> None:
    done = run('{ sleep 0.3; "$@"; } | true', "-m", f"{program}.cli", *SAID[program])
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("program", SAID)
def test_a_full_disk_under_its_output_is_told_in_one_line(program: str) -> None:
    done = run('"$@" > /dev/full', "-m", f"{program}.cli", *SAID[program])
    name = program.replace("_", "-")
    said = f"{name}: output.unwritable: cannot write to standard output: No space left on device. "
    assert (done.returncode, done.stderr[: len(said)]) == (1, said)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("program", SAID)
def test_closed_streams_are_no_fault(program: str) -> None:
    done = run('"$@" 0<&- 1>&-', "-m", f"{program}.cli", *SAID[program])
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("out", ["| true", "> /dev/full"])
def test_a_prolog_whose_words_nobody_gets_keeps_no_job_out(
    status: str, out: str, unbuffered: str
) -> None:
    line, words = f'{{ sleep 0.3; "$@"; }} {out}', ("check", "--file", status)
    done = run(line, *AGENT, *words, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 0
    assert ("output.unwritable" in done.stderr) == ("full" in out)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("out", ["2> /dev/full", "2>&1 | true", "2>&-"])
def test_an_error_that_nobody_can_be_told_keeps_its_exit_status(
    tmp_path: Path, out: str, unbuffered: str
) -> None:
    words = ("-m", "flopgate_governor.cli", "status", "--dir", str(tmp_path))
    line = f'{{ sleep 0.3; "$@"; }} {out}'
    assert run(line, *words, PYTHONUNBUFFERED=unbuffered).returncode == 2


def test_another_pipe_than_standard_output_is_a_fault() -> None:
    """A reader that left is one's own affair; a child that died is a mistake, with its trace."""
    program = (
        "import os, sys\n"
        "from flopgate_proto.command_line import run_program\n"
        "ours, others = os.pipe()\n"
        "os.close(ours)\n"
        "sys.exit(run_program('p', lambda: os.write(others, b'x')))\n"
    )
    done = run('"$@"', "-c", program)
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr


def test_an_interrupt_is_an_exit_status_and_no_trace() -> None:
    program = (
        "import os, signal, sys, time\n"
        "from flopgate_proto.command_line import run_program\n"
        "sys.exit(run_program('p', lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(9)))\n"
    )
    done = run('"$@"', "-c", program)
    assert (done.returncode, done.stderr) == (130, "")


def test_a_locale_without_a_sign_hides_no_answer(status: str) -> None:
    done = run('"$@"', *AGENT, "check", "--file", status, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "tr\\xe8s: open\n")
    assert done.stderr == ""
