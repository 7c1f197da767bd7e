"""One process that runs worlds, seen from both ends of its pipe.

Worlds run in processes of their own, so that a crash, a kill or a lack of memory costs one seed.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from flopgate_sim.campaign.outcome import Job, Outcome, Runner

_CONTEXT: Final = multiprocessing.get_context("spawn")
_END_S: Final = 5.0
"""For a process to end after SIGTERM, before SIGKILL."""
TRACEBACK_LINES_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A job and its outcome."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A job without an outcome.

    Attributes:
        reason: one line.
        detail: the last lines of a traceback, or empty.
        spent: the process should run nothing more: its memory is not to be trusted.
        cut: nothing is wrong with it; the time that all jobs had together was over.
    """

    job: Job
    reason: str
    detail: str = ""
    spent: bool = False
    cut: bool = False


Result = Done | Failure


def attempt(runner: Runner, job: Job) -> Result:
    """Run one job in this process; whatever it raises becomes a failure."""
    try:
        return Done(job=job, outcome=runner(job))
    except Exception as error:  # noqa: BLE001  # the failure of one seed, told with all it says
        lines = traceback.format_exception(error)
        detail = "".join(lines).rstrip().splitlines()[-TRACEBACK_LINES_MAX:]
        said = str(error).partition("\n")[0]
        name = type(error).__name__
        return Failure(
            job=job,
            reason=f"{name}: {said}" if said else name,
            detail="\n".join(detail),
            spent=isinstance(error, MemoryError),
        )


def _serve(connection: Connection, runner: Runner) -> None:
    """In the process: run what comes, until the other end is gone."""
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            job: Job = connection.recv()
            connection.send(attempt(runner, job))


class Worker:
    """A process and the job it is at.

    Attributes:
        job: what it runs, ``None`` while it waits.
        jobs_given: since it was started.
    """

    def __init__(self, runner: Runner) -> None:
        self.job: Job | None = None
        self.jobs_given = 0
        self._since_s = 0.0
        self.connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, runner), daemon=True)
        # A Ctrl-C while it is being born would end it with a traceback; it inherits the mask.
        kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, kept)
            theirs.close()

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    @property
    def busy_s(self) -> float:
        """How long it has been at its job."""
        return time.monotonic() - self._since_s

    def give(self, job: Job) -> bool:
        """Let it run a job; ``False`` when the process is gone."""
        if not self._process.is_alive():
            return False
        try:
            self.connection.send(job)
        except (BrokenPipeError, ConnectionResetError):
            return False
        self.job, self._since_s = job, time.monotonic()
        self.jobs_given += 1
        return True

    def take(self) -> Result | None:
        """What came of its job, which is then done; ``None`` when the process died over it."""
        try:
            result: Result = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.job = None
        return result

    def died(self) -> str:
        """How the process ended, in words, after `take` gave ``None``."""
        self._process.join(_END_S)
        status = self._process.exitcode
        if status is None:
            return "its process closed its pipe"
        if status >= 0:
            return f"its process ended with status {status}"
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"its process was ended by {name}"

    def end(self, *, at_once: bool = False) -> None:
        """End the process, whatever it is doing."""
        self.connection.close()
        if at_once:
            self._process.kill()
        elif self.job is not None:
            self._process.terminate()
        self._process.join(_END_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join(_END_S)
        self._process.close()
