"""What counts as elapsed time, in real processes whose clocks are moved under them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost
from tests.support.moved_clocks import MovedClocks
from tests.support.waiting import WAIT_S, until

HOUR_MS = 3_600_000
CLOSE_MS = 60_000
"""Two readings lie closer together than that, on any machine; all moves are larger."""
READ = """
import sys
from flopgate_agent.clocks import elapsed_ms
for _ in sys.stdin:
    print(elapsed_ms(), flush=True)
"""


@pytest.fixture
def clocks(tmp_path: Path) -> MovedClocks:
    return MovedClocks(tmp_path)


class Reader:
    """A process that reads its clocks when it is asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def read(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


@pytest.fixture
def reader(clocks: MovedClocks) -> Iterator[Reader]:
    with subprocess.Popen(
        [sys.executable, "-c", READ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **clocks.env},
        text=True,
    ) as process:
        yield Reader(process)
        process.kill()


def test_a_suspend_counts_and_no_clock_that_is_set_or_held_back_does(
    clocks: MovedClocks, reader: Reader
) -> None:
    begin_ms = reader.read()
    clocks.move(realtime=-HOUR_MS)
    assert abs(reader.read() - begin_ms) < CLOSE_MS, "nobody believes the wall clock"
    clocks.move(boottime=HOUR_MS)
    assert abs(reader.read() - begin_ms - HOUR_MS) < CLOSE_MS, "the host slept for an hour"
    clocks.move(boottime=-2 * HOUR_MS)
    assert abs(reader.read() - begin_ms) < CLOSE_MS, "held back, the raw clock goes on"
    clocks.move(boottime=HOUR_MS, raw=HOUR_MS)
    assert abs(reader.read() - begin_ms - HOUR_MS) < CLOSE_MS, "slowed, the raw clock leads"


def test_law_1_a_suspend_uses_up_a_permit(tmp_path: Path, clocks: MovedClocks) -> None:
    with GateHost(tmp_path, {"run-7": [0]}, gpus=1) as host:
        host.env = clocks.env
        # Far longer than anybody waits here.
        host.authority.policy = replace(host.authority.policy, lifetime_ms=600_000)
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        job = host.compute(fmt="fp16", persistent=True)
        host.courier.mode = "cut"
        clocks.move(boottime=HOUR_MS, realtime=HOUR_MS)
        assert job.wait(WAIT_S) < 0, "a kernel that does not end by itself is ended"
        until(lambda: "permit.expir" in host.logged(), "the reason to be told")
