"""150 worlds of bad luck: no law is broken in any of them.

`test_planted` looks for laws that break without a bug in some more. More worlds, and larger ones,
belong to `make sim`.
"""

from collections.abc import Iterable
from itertools import chain

import pytest

from flopgate_sim.campaign.outcome import REAL, Job
from flopgate_sim.campaign.pool import Pool
from flopgate_sim.campaign.totals import Totals
from flopgate_sim.world.run import run_job

SMALL, TINY = range(1, 31), range(1, 121)
REGRESSIONS = (
    ("gpu-chaos", 44),
    ("gpu-chaos", 1_007),
    ("old-drivers", 42),
    ("small-faults", 15),
    ("small-faults", 50_011),
    ("small-faults", 50_410),
    ("small-faults", 60_888),
    ("small-faults", 520_002),
    ("small-faults", 520_230),
    ("small-faults", 520_475),
    ("small-faults", 530_049),
    ("tiny-faults", 83),
    ("tiny-faults", 3_098),
    ("tiny-faults", 6_810),
    ("tiny-faults", 7_149),
    ("tiny-faults", 8_374),
    ("tiny-faults", 20_520),
    ("tiny-faults", 22_130),
    ("tiny-faults", 30_007),
    ("tiny-faults", 30_249),
    ("tiny-faults", 30_400),
    ("tiny-faults", 50_884),
    ("tiny-faults", 54_019),
    ("tiny-faults", 54_923),
    ("tiny-faults", 61_006),
    ("tiny-faults", 62_354),
    ("tiny-faults", 63_959),
    ("tiny-faults", 92_323),
    ("tiny-faults", 203_354),
    ("tiny-faults", 700_541),
    ("tiny-faults", 2_003_423),
)
"""Worlds that broke a law once, or that the judge took for one."""
PROCESSES = 2


def assert_clean(jobs: Iterable[Job]) -> None:
    totals = Totals()
    with Pool(run_job, PROCESSES) as pool:
        for result in pool.results(jobs):
            totals.add(result)
    assert totals.all.seeds
    assert totals.clean, [*totals.breached, *totals.failed]


@pytest.mark.timeout(900)
def test_no_law_is_broken_in_150_worlds() -> None:
    assert_clean(
        chain(
            (Job(scenario="small-faults", seed=seed) for seed in SMALL),
            (Job(scenario="tiny-faults", seed=seed) for seed in TINY),
        )
    )


def test_seeds_that_once_broke_a_law_break_none() -> None:
    assert_clean(Job(scenario=name, seed=seed) for name, seed in REGRESSIONS)


def test_no_law_is_broken_with_real_signatures() -> None:
    assert_clean(Job(scenario="small-faults", seed=seed, signatures=REAL) for seed in range(1, 4))
