"""Runs jobs on several processes and hands over what comes of each, in order of arrival.

Every process has one job at a time: a world takes from 50 ms to minutes, handing one over takes
about 0.1 ms, so larger portions would save nothing and would cost more when a process dies. Jobs
are drawn only when a process is free, and nothing is kept: memory does not grow with their number.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from multiprocessing.connection import wait
from types import TracebackType
from typing import Final, Self

from flopgate_proto.errors import EnvironmentFault
from flopgate_sim.campaign.outcome import Job, Runner
from flopgate_sim.campaign.worker import Failure, Result, Worker

PROCESSES_MAX: Final = 256
JOBS_PER_PROCESS: Final = 200
"""A process gives way to a fresh one then: what leaks, leaks no further. A start takes a second."""
FAILURES_MAX: Final = 20
"""Failures in a row after which the fault is not that of the seeds."""


class Pool:
    """Some processes. Leave its context to end them: nothing of it outlives that.

    A process that is killed, runs out of memory or takes longer than ``limit_s`` costs the job that
    it was at, which becomes a `Failure`; another takes its place.

    Attributes:
        limit_s: for one job, the start of its process included; ``None``: no limit.
    """

    def __init__(self, runner: Runner, processes: int, *, limit_s: float | None = None) -> None:
        self._runner = runner
        self._processes = processes
        self.limit_s = limit_s
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._workers:
            self._workers.pop().end()

    def results(
        self, jobs: Iterable[Job], until_s: float | None = None
    ) -> Generator[Result, None, None]:
        """Run all jobs; what comes of each, as it comes.

        Left before its end, it stops the jobs that run. At ``until_s`` (of `time.monotonic`) it
        cuts off those that still run, each a `Failure`, and draws no more.

        Raises:
            EnvironmentFault: `FAILURES_MAX` jobs in a row came to nothing.
        """
        source = iter(jobs)
        failures = 0
        try:
            while True:
                if until_s is None or time.monotonic() < until_s:
                    self._employ(source)
                busy = [worker for worker in self._workers if worker.job is not None]
                if not busy:
                    return
                for result in self._arrived(busy, until_s):
                    failures = failures + 1 if _failed(result) else 0
                    yield result
                    if failures == FAILURES_MAX and isinstance(result, Failure):
                        raise EnvironmentFault(
                            f"{failures} worlds in a row could not be run; the last: "
                            f"{result.reason}",
                            code="campaign.worlds.failing",
                            remedy="Run one with --jobs 1 and mend what it says.",
                        )
        finally:
            for worker in [one for one in self._workers if one.job is not None]:
                self._dismiss(worker)

    def _employ(self, source: Iterator[Job]) -> None:
        """Give every free process a job, as far as there are any."""
        free = [worker for worker in self._workers if worker.job is None]
        while free or len(self._workers) < self._processes:
            job = next(source, None)
            if job is None:
                return
            while True:
                worker = free.pop() if free else self._hire()
                if worker.jobs_given < JOBS_PER_PROCESS and worker.give(job):
                    break
                # Worn out, or killed while it waited.
                self._dismiss(worker)

    def _hire(self) -> Worker:
        worker = Worker(self._runner)
        self._workers.append(worker)
        return worker

    def _dismiss(self, worker: Worker, *, at_once: bool = False) -> None:
        self._workers.remove(worker)
        worker.end(at_once=at_once)

    def _arrived(self, busy: list[Worker], until_s: float | None) -> Iterator[Result]:
        """Wait until something comes of at least one job, or time is over for one or all."""
        limit_s = self.limit_s
        lefts_s = []
        if limit_s is not None:
            lefts_s.append(limit_s - max(worker.busy_s for worker in busy))
        if until_s is not None:
            lefts_s.append(until_s - time.monotonic())
        left_s = max(0.0, min(lefts_s)) if lefts_s else None
        ready = wait([worker.connection for worker in busy], left_s)
        over = until_s is not None and time.monotonic() >= until_s
        for worker in busy:
            job = worker.job
            if job is None:
                continue
            if worker.connection in ready:
                result = worker.take()
                if result is None:
                    result = Failure(job=job, reason=worker.died(), spent=True)
                if isinstance(result, Failure) and result.spent:
                    self._dismiss(worker)
                yield result
            elif limit_s is not None and worker.busy_s >= limit_s:
                self._dismiss(worker, at_once=True)
                yield Failure(job=job, reason=f"not done after {limit_s:g} s", spent=True)
            elif over:
                self._dismiss(worker, at_once=True)
                yield Failure(job=job, reason="the time was over", spent=True, cut=True)


def _failed(result: Result) -> bool:
    return isinstance(result, Failure) and not result.cut
