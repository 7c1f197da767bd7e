"""Shrinks what broke in a campaign, with worlds that run in its pool."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from flopgate_sim.campaign.outcome import Breach
from flopgate_sim.campaign.pool import Pool
from flopgate_sim.campaign.shrink import RUNS_MAX, Faults, Shrunk, shrink
from flopgate_sim.campaign.totals import Breached, breached
from flopgate_sim.campaign.worker import Failure


def one_a_law(broken: Iterable[Breached]) -> list[Breached]:
    """Of each law that was broken the lowest seed, by law."""
    chosen: dict[int, Breached] = {}
    for one in sorted(broken, key=lambda each: (each.breach.law, each.job.seed)):
        chosen.setdefault(one.breach.law, one)
    return list(chosen.values())


def reduced(
    pool: Pool, broke: Breached, ran: Callable[[int, int], None], *, runs_max: int = RUNS_MAX
) -> tuple[Breached, Shrunk]:
    """The same breach with as few of its faults as still break the law.

    ``ran`` hears of every run: its number, and how many faults it had. A world that does not come
    to its end breaks nothing.

    Raises:
        MisuseError: the job does not break the law again: its runs differ.
    """
    least, runs = broke, 0

    def breaks(faults: Faults) -> Breach | None:
        nonlocal least, runs
        runs += 1
        ran(runs, len(faults))
        job = replace(broke.job, fault_indices=faults, recording=False)
        (result,) = pool.results([job])
        again = None if isinstance(result, Failure) else breached(result)
        if again is None or again.breach.law != broke.breach.law:
            return None
        least = again
        return again.breach

    faults = broke.job.fault_indices
    if faults is None:
        faults = tuple(range(broke.faults))
    shrunk = shrink(faults, broke.breach.law, breaks, runs_max=runs_max)
    return least, shrunk
