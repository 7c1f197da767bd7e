"""Child processes of the demonstration: started with a log file, ended without fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from flopgate_agent.gate_process.host import read_clocks

STOP_S = 20.0
POLL_S = 0.05


class DemoError(Exception):
    """The demonstration cannot go on; the text says why and where to look."""


def wait_until(what: str, done: Callable[[], bool], timeout_s: float) -> float:
    """Wait for something; the seconds it took.

    Raises:
        DemoError: it did not happen in time.
    """
    start_s = time.monotonic()
    while not done():
        if time.monotonic() - start_s > timeout_s:
            raise DemoError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(POLL_S)
    return time.monotonic() - start_s


def elapsed_ms() -> int:
    """Host elapsed time: the clock that all events are told in."""
    return read_clocks().elapsed_ms


class Child:
    """One process with its output in ``log``; ``module`` runs with this Python."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        *,
        talks: bool = False,
    ) -> None:
        self.log = log
        self._module = module
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else sink,
                stderr=sink,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def lines(self) -> IO[bytes]:
        """What a talking child prints."""
        if self.process.stdout is None:
            raise DemoError(f"{self._module} does not talk")
        return self.process.stdout

    def check(self) -> None:
        """Raise if the process has ended by itself.

        Raises:
            DemoError: with the end of its log.
        """
        status = self.process.poll()
        if status is not None:
            tail = self.log.read_text(errors="replace").splitlines()[-3:]
            raise DemoError(f"{self._module} ended with {status}; {self.log}: {' | '.join(tail)}")

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, wait, SIGKILL of what is left of its session."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
