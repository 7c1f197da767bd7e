"""The probe beside a burst answers each stretch, however short the stretch was."""

import select
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import WAIT_S

ROOT = Path(__file__).parents[2]


def test_a_stretch_that_ended_before_the_probe_was_up_is_answered() -> None:
    command = [sys.executable, "-m", "bench.probe"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as probe:
        assert probe.stdin is not None
        assert probe.stdout is not None
        try:
            for stretches in (1, 2):
                # One write: both lines are there before the probe reads the first.
                probe.stdin.write(b"\n\n" * stretches)
                for _ in range(stretches):
                    assert select.select([probe.stdout], [], [], WAIT_S)[0], "it never answered"
                    assert float(probe.stdout.readline()) > 0
            probe.stdin.close()
            assert probe.wait(WAIT_S) == 0
        finally:
            probe.kill()
