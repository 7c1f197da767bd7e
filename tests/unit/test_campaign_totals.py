"""What many seeds add up to, which of them are shown, and the command that runs one again."""

import pytest

from flopgate_sim.campaign import replay
from flopgate_sim.campaign.outcome import Job
from flopgate_sim.campaign.pending import pending
from flopgate_sim.campaign.picks import PICKED_MAX, Picks
from flopgate_sim.campaign.totals import BREACHES_KEPT_MAX, FAILURES_KEPT_MAX, Totals
from flopgate_sim.campaign.turns import MIXED, REAL_EVERY, Turns
from flopgate_sim.campaign.words import clock, count
from flopgate_sim.campaign.worker import Done, Failure, attempt
from tests.support import worlds


def done(seed: int, scenario: str = "pause-drill") -> Done:
    result = attempt(worlds.broken, Job(scenario=scenario, seed=seed))
    assert isinstance(result, Done)
    return result


def test_totals_add_up_and_keep_faults_apart() -> None:
    totals = Totals()
    for seed in range(1, 15):
        totals.add(done(seed, "a" if seed < 10 else "b"))
    assert totals.all.seeds == 14
    assert totals.all.breaches == 2
    assert totals.all.events == sum(1000 + seed for seed in range(1, 15))
    assert totals.all.host_hours == 28
    assert totals.all.host_hours_per_cpu_s == 4
    assert {name: one.seeds for name, one in totals.scenarios.items()} == {"a": 9, "b": 5}
    assert totals.faults == {"gate_crash": 14 * worlds.PLANNED_FAULTS}
    assert totals.counts == {"grants": 14 * 12, "refusals": 14}
    assert [one.job.seed for one in totals.breached] == [7, 14]
    assert not totals.clean


def test_a_world_without_an_end_is_not_clean_and_one_cut_off_is_no_failure() -> None:
    totals = Totals()
    totals.add(Failure(job=Job(scenario="a", seed=1), reason="the time was over", cut=True))
    assert (totals.clean, totals.all.cut, totals.failed) == (True, 1, [])
    totals.add(Failure(job=Job(scenario="a", seed=2), reason="killed"))
    assert (totals.clean, totals.all.failures) == (False, 1)
    assert totals.all.host_hours_per_cpu_s is None


def test_totals_do_not_grow_with_the_number_of_seeds() -> None:
    totals, picks = Totals(), Picks()
    for seed in range(0, 7 * 500, 7):
        one = done(seed)
        totals.add(one)
        picks.add(one)
        totals.add(Failure(job=Job(scenario="pause-drill", seed=seed), reason="killed"))
    assert (totals.all.breaches, len(totals.breached)) == (500, BREACHES_KEPT_MAX)
    assert (totals.all.failures, len(totals.failed)) == (500, FAILURES_KEPT_MAX)
    assert len(picks.picked) == PICKED_MAX


def test_breaches_are_shown_first_then_the_lowest_seeds() -> None:
    picks = Picks()
    for seed in (30, 21, 5, 14, 3, 40, 41, 43, 44, 45, 46, 47):
        picks.add(done(seed))
    assert [one.job.seed for one in picks.picked] == [14, 21, 3, 5, 30, 40, 41, 43, 44, 45]


def test_a_recording_takes_the_place_of_its_run_unless_it_went_another_way() -> None:
    picks = Picks()
    picks.add(done(3))
    recorded = attempt(worlds.broken, Job(scenario="pause-drill", seed=3, recording=True))
    assert isinstance(recorded, Done)
    assert picks.put(recorded)
    assert picks.picked[0].outcome.recording is not None
    other = attempt(worlds.drifting, Job(scenario="pause-drill", seed=3, recording=True))
    assert isinstance(other, Done)
    assert not picks.put(other)
    unknown = attempt(worlds.broken, Job(scenario="pause-drill", seed=4, recording=True))
    assert isinstance(unknown, Done)
    assert not picks.put(unknown)


@pytest.mark.parametrize(
    ("job", "command"),
    [
        (
            Job(scenario="pause-drill", seed=7),
            "flopgate-sim run pause-drill --seeds 7 --signatures cheap --timeline",
        ),
        (
            Job(scenario="a b.toml", seed=0, fault_indices=(3, 17), signatures="real"),
            "flopgate-sim run 'a b.toml' --seeds 0 --faults 3,17 --signatures real --timeline",
        ),
        (
            Job(scenario="x", seed=1, fault_indices=()),
            "flopgate-sim run x --seeds 1 --faults none --signatures cheap --timeline",
        ),
    ],
)
def test_the_command_that_replays(job: Job, command: str) -> None:
    assert replay.command(job) == command


def test_what_is_pending_names_its_feature() -> None:
    assert all(feature and whats for feature, whats in pending().items())


def test_scenarios_take_turns_of_equal_time() -> None:
    turns = Turns({"large": 1000.0, "small": 1.0}, {"small": 5}, MIXED)
    ran: dict[str, list[int]] = {"large": [], "small": []}
    for _ in range(206):
        job = turns.next(1e6)
        assert job is not None
        ran[job.scenario].append(job.seed)
        assert job.signatures == ("real" if job.seed % REAL_EVERY == 0 else "cheap")
        turns.done(job, 100.0 if job.scenario == "large" else 1.0)
    assert ran["large"] == [1, 2, 3]
    assert ran["small"] == list(range(5, 5 + 203))


def test_what_would_not_be_done_in_time_gets_no_turn() -> None:
    turns = Turns({"large": 10_000.0, "small": 10.0}, {}, "cheap")
    first = turns.next(100.0)
    assert first is not None
    assert first.scenario == "small"
    turns.done(first, 5.0)
    job = turns.next(4_000.0)
    assert job is not None
    assert job.scenario == "small", "at 2 host-hours a second the large one takes 5000 s"
    turns.done(job, 5.0)
    large = turns.next(6_000.0)
    assert large is not None
    assert large.scenario == "large"
    assert turns.next(4.0) is None
    assert turns.next(0.0) is None


def test_figures_as_people_read_them() -> None:
    assert clock(0) == "0:00:00.000"
    assert clock(3723.4) == "1:02:03.400"
    assert clock(86_400 * 2 + 59.9996) == "2 d 0:01:00.000"
    assert count(1, "seed") == "1 seed"
    assert count(1200, "breach", "breaches") == "1,200 breaches"
