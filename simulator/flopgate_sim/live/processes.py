"""Child processes of a rehearsal: started with a log file, ended without fail."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from rich.console import Console

from flopgate_agent.gate_process.host import read_clocks
from flopgate_proto.errors import EnvironmentFault

WAIT_S = 240.0
"""Longest wait for what must follow, on any machine; laws are judged by the hardware's own time."""
STOP_S = 60.0
POLL_S = 0.05
LOOPBACK = "127.0.0.1"
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RehearsalError(EnvironmentFault):
    """The rehearsal cannot go on; the text says why and where to look."""

    default_code = "sim.rehearsal"


def wait_until(what: str, done: Callable[[], bool], timeout_s: float = WAIT_S) -> float:
    """Wait for something; the seconds it took.

    Raises:
        RehearsalError: it did not happen in time.
    """
    start_s = time.monotonic()
    while not done():
        if time.monotonic() - start_s > timeout_s:
            raise RehearsalError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(POLL_S)
    return time.monotonic() - start_s


def elapsed_ms() -> int:
    """Host elapsed time: the clock that all events are told in."""
    return read_clocks().elapsed_ms


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in socks:
            sock.bind((LOOPBACK, 0))
        return [int(sock.getsockname()[1]) for sock in socks]


def environment() -> dict[str, str]:
    """This process's own without proxies: gRPC would send them what stays on this machine."""
    return {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}


@contextmanager
def resources() -> Iterator[ExitStack]:
    """What is on this stack is given back, undisturbed, however the block ends.

    Every signal that asks for an end raises ``KeyboardInterrupt`` in the block, and nothing after.
    """
    before = {number: signal.signal(number, _interrupt) for number in ENDS}
    try:
        with ExitStack() as stack:
            try:
                yield stack
            finally:
                for number in ENDS:
                    signal.signal(number, signal.SIG_IGN)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that ask for an end wait until the block is over: what it starts has an owner then.

    For the main thread, and for short blocks.
    """
    asked: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: asked.append(number))
        for number in ENDS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked:
            signal.raise_signal(asked[0])


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def show_logs(directory: Path, console: Console) -> None:
    """The ends of all logs."""
    for log in sorted(directory.rglob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-3:]
        name = log.relative_to(directory)
        console.print(f"--- {name}", *tail, sep="\n", markup=False, highlight=False)


class Child:
    """One process with its output in ``log``; ``module`` runs with this Python.

    ``prefix``: a command that becomes this one in the end, such as ``ip netns exec NAME``.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        *,
        talks: bool = False,
        prefix: Sequence[str] = (),
    ) -> None:
        self.log = log
        self._module = module
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else sink,
                stderr=sink,
                env={**environment(), **(env or {})},
                start_new_session=True,
            )

    @property
    def lines(self) -> IO[bytes]:
        """What a talking child prints."""
        if self.process.stdout is None:
            raise RehearsalError(f"{self._module} does not talk")
        return self.process.stdout

    def say(self, line: str) -> None:
        """Give a talking child a line.

        Raises:
            RehearsalError: it does not listen, or has ended.
        """
        if self.process.stdin is None:
            raise RehearsalError(f"{self._module} does not listen")
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.check()
            raise

    def check(self) -> None:
        """Raise if the process has ended by itself.

        Raises:
            RehearsalError: with the end of its log.
        """
        status = self.process.poll()
        if status is not None:
            tail = self.log.read_text(errors="replace").splitlines()[-3:]
            raise RehearsalError(
                f"{self._module} ended with {status}; {self.log}: {' | '.join(tail)}"
            )

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """SIGTERM, wait, SIGKILL of what is left of its session."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def stop(self) -> None:
        """End it, and close what it talked through."""
        self.end()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
