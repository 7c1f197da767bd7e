"""200 worlds, each with another hour of bad luck: no law is broken in any of them.

More worlds, and larger ones, belong to `make sim`.
"""

from itertools import chain

from flopgate_sim.campaign.outcome import REAL, Job
from flopgate_sim.campaign.pool import run_all
from flopgate_sim.world.run import run_job

SMALL, TINY = range(1, 61), range(1, 141)
REGRESSIONS = (("small-faults", 15), ("tiny-faults", 83))
"""Worlds that broke a law once."""
PROCESSES = 2


def test_no_law_is_broken_in_200_worlds() -> None:
    jobs = chain(
        (Job(scenario="small-faults", seed=seed) for seed in SMALL),
        (Job(scenario="tiny-faults", seed=seed) for seed in TINY),
    )
    bad = [one for one in run_all(jobs, run_job, PROCESSES) if one.breach or one.error]
    assert not bad, [(one.scenario, one.seed, one.breach or one.error) for one in bad]


def test_seeds_that_once_broke_a_law_break_none() -> None:
    jobs = (Job(scenario=name, seed=seed) for name, seed in REGRESSIONS)
    assert [one.breach for one in run_all(jobs, run_job, 1)] == [None] * len(REGRESSIONS)


def test_no_law_is_broken_with_real_signatures() -> None:
    jobs = (Job(scenario="small-faults", seed=seed, signatures=REAL) for seed in range(1, 4))
    bad = [one for one in run_all(jobs, run_job, PROCESSES) if one.breach or one.error]
    assert not bad, [(one.seed, one.breach or one.error) for one in bad]
