"""Shrinks what broke in a campaign, with worlds that run in its pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from flopgate_sim.campaign.outcome import Breach, Job
from flopgate_sim.campaign.pool import Pool
from flopgate_sim.campaign.shrink import RUNS_MAX, Faults, Shrunk, shrink
from flopgate_sim.campaign.totals import Breached
from flopgate_sim.campaign.worker import Failure


def one_a_law(breached: Iterable[Breached]) -> list[Breached]:
    """Of each law that was broken the lowest seed, by law."""
    chosen: dict[int, Breached] = {}
    for one in sorted(breached, key=lambda each: (each.breach.law, each.job.seed)):
        chosen.setdefault(one.breach.law, one)
    return list(chosen.values())


def reduced(
    pool: Pool, breached: Breached, ran: Callable[[Faults], None], *, runs_max: int = RUNS_MAX
) -> tuple[Job, Shrunk]:
    """The job with as few of its faults as still break the law; ``ran`` hears of every run.

    A world that does not come to its end breaks nothing.

    Raises:
        MisuseError: the job does not break the law again: its runs differ.
    """
    job = breached.job

    def breaks(faults: Faults) -> Breach | None:
        (result,) = pool.results([replace(job, fault_indices=faults, recording=False)])
        ran(faults)
        return None if isinstance(result, Failure) else result.outcome.breach

    faults = job.fault_indices
    if faults is None:
        faults = tuple(range(breached.planned_faults))
    shrunk = shrink(faults, breached.breach.law, breaks, runs_max=runs_max)
    return replace(job, fault_indices=shrunk.faults), shrunk
