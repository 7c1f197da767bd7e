"""Law 5 where everything goes wrong at once: faults of all kinds, files late, doubled, mixed up."""

import pytest

from flopgate_sim.campaign.outcome import Job
from flopgate_sim.planted.license_worlds import licensed_busily
from flopgate_sim.world.run import run_plan


@pytest.mark.parametrize("seed", [1, 2])
def test_law_5_licenses_hold_under_all_faults(seed: int) -> None:
    outcome = run_plan(licensed_busily(seed), Job(scenario="licensed-busily", seed=seed))
    assert outcome.breach is None, (outcome.breach, outcome.timeline[-10:])
    assert outcome.counts["grants"] > 0
    assert outcome.counts["gate_crash_writing"] > 0
