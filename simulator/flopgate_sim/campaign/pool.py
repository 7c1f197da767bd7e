"""Runs many worlds over several processes; a process that dies takes its world with it, no more."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from flopgate_sim.campaign.outcome import Job, Outcome

AHEAD = 2
"""Worlds that wait in each process's queue."""

DIED = "its process died, or one that shared its pool"

Runner = Callable[[Job], Outcome]


def run_all(jobs: Iterable[Job], runner: Runner, processes: int) -> Iterator[Outcome]:
    """Outcomes in the order in which they come; ``jobs`` is read as far as it is needed.

    When a process dies, the worlds that were under way then are told as failed, and the rest goes
    on in fresh processes.
    """
    waiting = iter(jobs)
    if processes == 1:
        for job in waiting:
            yield guarded(runner, job)
        return
    # A fresh interpreter each: SQLite does not like to be forked.
    context = multiprocessing.get_context("spawn")
    left = True
    while left:
        pool = ProcessPoolExecutor(max_workers=processes, mp_context=context)
        running: dict[Future[Outcome], Job] = {}
        broken = False
        try:
            while not broken:
                for job in itertools.islice(waiting, processes * AHEAD - len(running)):
                    running[pool.submit(guarded, runner, job)] = job
                if not running:
                    left = False
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    job = running.pop(future)
                    broken = broken or isinstance(future.exception(), BrokenProcessPool)
                    yield _failed(job, DIED) if future.exception() else future.result()
            for job in running.values():
                yield _failed(job, DIED)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def guarded(runner: Runner, job: Job) -> Outcome:
    """One world; whatever ends it is told with its seed."""
    try:
        return runner(job)
    except Exception as error:  # noqa: BLE001  # see above
        return _failed(job, f"{type(error).__name__}: {error}")


def _failed(job: Job, why: str) -> Outcome:
    return Outcome(scenario=job.scenario, seed=job.seed, error=why)
