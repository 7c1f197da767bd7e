"""``flopgate-sim live`` without root: real governor, gates and couriers, cut, killed, ended."""

import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from flopgate_sim.cli import main
from tests.support.live import LIVE, alive_in, closing, live
from tests.support.waiting import WAIT_S

LIFETIME_S = 15


def test_law_1_hosts_that_are_cut_stop_and_hosts_that_are_killed_go_on() -> None:
    done = live(
        *("--hosts", "4", "--network", "forwarder", "--faults", "cut,loss,host-kill"),
        *("--policy-lifetime-s", str(LIFETIME_S)),
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    seen = closing(done.stdout)
    assert seen["hosts"] == "4"
    assert set(seen["faults"].split(", ")) == {"cut 1", "host-kill 1"}
    assert "cannot be shown with it: loss." in done.stdout
    assert 0 < float(seen["longest time to standstill after a cut"].split()[0]) <= LIFETIME_S
    assert int(seen["permits"]) >= 4
    assert done.stdout.count("held  ") == 4
    assert "every law held" in done.stdout


def test_an_interrupt_ends_every_process() -> None:
    # A door's path must be short: not below tmp_path.
    with tempfile.TemporaryDirectory(prefix="fg-") as name:
        command = [*LIVE, "--hosts", "2", "--network", "forwarder", "--faults", "cut"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": name}
        ) as process:
            assert process.stdout is not None
            try:
                assert any("hosts admitted" in line for line in process.stdout)
                assert len(alive_in(Path(name))) >= 3
            finally:
                process.send_signal(signal.SIGINT)
            assert process.stdout.read().endswith("stopped\n")
            assert process.wait(WAIT_S) == 130
        assert alive_in(Path(name)) == []
        assert list(Path(name).iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--hosts", "0"], "--hosts is 0. Write 1 to"),
        (["--policy-lifetime-s", "5"], "--policy-lifetime-s is 5. Write 15 to"),
        (["--faults", "cut,flood"], "--faults has no 'flood'. Take some of cut,one-way"),
        (["--faults", "cut,cut"], "--faults names a kind twice"),
        (["--minutes", "0"], "--minutes is 0.0. Write more than 0"),
    ],
)
def test_odd_options_are_refused_in_one_line(
    wrong: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", *wrong]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"flopgate-sim: sim\.live\.option: {re.escape(words)}.*\n", err)
