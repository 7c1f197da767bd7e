"""A simulated governor's store in memory is to the world what the one on its disk is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_sim.campaign.outcome import Job
from flopgate_sim.scenario import find
from flopgate_sim.world.from_scenario import plan_of
from flopgate_sim.world.plan import Act, Fault, WorldPlan
from flopgate_sim.world.run import run_plan


def small() -> WorldPlan:
    """Hosts come and go, and officers pause: whatever a governor writes but licenses."""
    plan = plan_of(find("quiet-128"), 1)
    name = plan.hosts[0].name
    return replace(
        plan,
        hosts=plan.hosts[:3],
        duration_ms=900_000,
        faults=(
            Fault(at_ms=200_000, kind="gate_crash", target=name, span_ms=5_000),
            Fault(at_ms=500_000, kind="host_retires", target=name),
        ),
        acts=(Act(at_ms=300_000, act="pause"), Act(at_ms=400_000, act="resume")),
    )


def test_worlds_with_either_go_the_same_way() -> None:
    plan = small()
    assert plan.plain_stores
    job = Job(scenario=plan.name, seed=1)
    plain, on_disk = run_plan(plan, job), run_plan(replace(plan, plain_stores=False), job)
    assert plain.breach is None
    assert plain.counts["reports"] > 0
    assert plain.trace_digest == on_disk.trace_digest
    assert plain.counts == on_disk.counts


@pytest.mark.parametrize(("scenario", "plain"), [("quiet-128", True), ("heaviest", False)])
def test_only_what_no_fault_touches_is_in_memory(scenario: str, plain: bool) -> None:
    assert plan_of(find(scenario), 1).plain_stores is plain
