"""The rig is checked too: every planted bug is caught, by a law that it breaks."""

import pytest

from flopgate_sim.campaign.outcome import Job, Outcome
from flopgate_sim.planted import BUGS, SEEDS, Planted, planted, worlds
from flopgate_sim.world.laws.table import LAWS
from flopgate_sim.world.plan import WorldPlan
from flopgate_sim.world.run import run_plan


def run(plan: WorldPlan, seed: int) -> Outcome:
    return run_plan(plan, Job(scenario=plan.name, seed=seed))


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Planted) -> None:
    for seed in range(1, SEEDS + 1):
        with planted(bug):
            outcome = run(bug.world(seed), seed)
        if outcome.breach is not None:
            assert outcome.breach.law in bug.laws, outcome.breach
            return
    pytest.fail(f"{bug.text}: not caught in {SEEDS} seeds")


WORLDS = {getattr(bug.world, "__name__", ""): bug.world for bug in BUGS}


@pytest.mark.parametrize("world", WORLDS)
def test_without_a_bug_the_same_worlds_break_no_law(world: str) -> None:
    for seed in range(1, SEEDS + 1):
        outcome = run(WORLDS[world](seed), seed)
        assert outcome.breach is None, (outcome.breach, outcome.timeline[-10:])


def test_every_law_can_be_broken_by_a_planted_bug() -> None:
    assert {law.number for law in LAWS} == set().union(*(bug.laws for bug in BUGS))


def test_bugs_are_taken_out_again() -> None:
    outcome = run(worlds.busy(1), 1)
    with planted(BUGS[0]):
        pass
    assert run(worlds.busy(1), 1).trace_digest == outcome.trace_digest
