"""What laws leave out where nothing can be wrong: asked in full, they would find nothing there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flopgate_sim.campaign.outcome import Job, Outcome
from flopgate_sim.planted import BUGS, planted
from flopgate_sim.scenario import find
from flopgate_sim.world.from_scenario import plan_of
from flopgate_sim.world.governors.governor import Governor
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.laws import hosts, table
from flopgate_sim.world.laws.governors import Booked, all_books_of, books_of
from flopgate_sim.world.run import run_plan

Run = Callable[[], Outcome]


def calm() -> Outcome:
    plan = plan_of(find("quiet-128"), 1)
    plan = replace(plan, hosts=plan.hosts[:2], duration_ms=600_000)
    return run_plan(plan, Job(scenario=plan.name, seed=1))


def faulty(seed: int) -> Outcome:
    return run_plan(plan_of(find("tiny-faults"), seed), Job(scenario="tiny-faults", seed=seed))


def buggy(name: str) -> Outcome:
    """The first of its worlds in which a planted bug is caught."""
    bug = next(one for one in BUGS if one.name == name)
    with planted(bug):
        for seed in range(1, 6):
            outcome = run_plan(bug.world(seed), Job(scenario=name, seed=seed))
            if outcome.breach is not None:
                return outcome
    raise AssertionError(name)


RUNS: dict[str, Run] = {
    "calm": calm,
    "faults": lambda: faulty(1),
    "other faults": lambda: faulty(6),
    "late": lambda: buggy("receipt-time"),
    "not killed": lambda: buggy("kill-forgotten"),
    "over the cap": lambda: buggy("cap-ignored"),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_laws_asked_in_full_find_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    short = run()
    allowed: set[bool] = set()
    left_out: set[bool] = set()

    def never(host: Host, now_us: int) -> bool:
        may = quick(host, now_us)
        allowed.add(may)
        assert not (may and [*hosts.late_work(host, now_us)])
        return False

    def whole(governor: Governor) -> Booked:
        found, known = all_books_of(governor), books_of(governor)
        assert known.items() <= found.items()
        left_out.add(len(known) < len(found))
        return found

    quick = hosts.is_allowed
    monkeypatch.setattr(hosts, "is_allowed", never)
    monkeypatch.setattr(table, "books_of", whole)
    full = run()
    assert full.trace_digest == short.trace_digest
    assert full.breach == short.breach
    assert True in allowed
    assert True in left_out or run is not calm
