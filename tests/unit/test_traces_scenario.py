"""A recorded cluster becomes a scenario: hosts, jobs with their times, notes on what is lost."""

from pathlib import Path

import pytest

from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import COUNT_MAX
from flopgate_sim.scenario import TimedJob, fleet
from flopgate_sim.scenario.policies import default_policy
from flopgate_sim.traces import to_scenario
from tests.support.recorded import NODES, small_trace, trace_of

EIGHT = tuple(range(8))


def test_nodes_become_hosts_of_one_cluster_by_model_and_size() -> None:
    scenario = to_scenario(small_trace())
    assert [
        (part.name, part.hosts, part.chips_per_host, part.chip) for part in scenario.clusters
    ] == [
        ("recorded", 2, 2, "v100"),
        ("recorded", 1, 4, "t4"),
        ("recorded", 1, 8, "h100"),
    ]
    assert [len(host.lanes) for host in fleet(scenario)] == [1, 1, 1, 1]


def test_pods_become_jobs_with_times_from_the_first_one_on() -> None:
    scenario = to_scenario(small_trace())
    assert scenario.duration_s == 880
    assert scenario.jobs == (
        TimedJob(
            name="pod-long", host=0, chips=(0,), start_s=0, end_s=880, utilisation_percent=100
        ),
        TimedJob(
            name="pod-half", host=0, chips=(1,), start_s=10, end_s=580, utilisation_percent=46
        ),
        TimedJob(
            name="pod-other-half", host=0, chips=(1,), start_s=21, end_s=780, utilisation_percent=55
        ),
        TimedJob(
            name="pod-pair", host=1, chips=(0, 1), start_s=40, end_s=480, utilisation_percent=100
        ),
        TimedJob(
            name="pod-new-model", host=3, chips=EIGHT, start_s=180, end_s=880,
            utilisation_percent=100,
        ),
        TimedJob(
            name="pod-after", host=1, chips=(0, 1), start_s=480, end_s=880, utilisation_percent=100
        ),
    )  # fmt: skip


def test_what_is_assumed_and_left_out_is_told() -> None:
    notes = to_scenario(small_trace(), begin_s=500, duration_s=300).notes
    model, busy, busiest, *left_out = notes
    assert model.startswith("model G9 counts as h100 (1 of 4 nodes): nobody told what it is")
    assert busy.startswith("a GPU, or the share of one, counts as busy all the time")
    assert busiest == "most jobs at a time ran at its second 300: 5"
    assert left_out == [
        "left out, nodes without a GPU: 1",
        "left out, pods that asked for no GPU: 1",
        "left out, pods that were never scheduled: 1",
        "left out, pods that were gone as soon as they were scheduled: 1",
        "left out, pods that found no node with room when they were scheduled: 1",
    ]


def test_a_part_of_the_time_keeps_what_was_placed_before_it() -> None:
    scenario = to_scenario(small_trace(), begin_s=650, duration_s=100)
    assert [(job.name, job.start_s, job.end_s) for job in scenario.jobs] == [
        ("pod-half", 0, 50),
        ("pod-long", 0, 100),
        ("pod-other-half", 0, 100),
        ("pod-after", 0, 100),
        ("pod-new-model", 0, 100),
    ]
    assert "left out, pods that ran outside the chosen time: 1" in scenario.notes


def test_budget_policy_and_chips_can_be_chosen() -> None:
    trace = small_trace()
    policy = default_policy()
    chosen = to_scenario(trace, budget_tflop=7, policy=policy, models={"G9": "b200", "T4": "l4"})
    assert [part.chip for part in chosen.clusters] == ["v100", "l4", "b200"]
    assert [budget.cap_tflop for budget in chosen.policy.budgets] == [7]
    assert "model T4 counts as l4 (1 of 4 nodes): chosen by whoever started this" in chosen.notes
    assert [budget.cap_tflop for budget in to_scenario(trace).policy.budgets] == [COUNT_MAX]
    with pytest.raises(ConfigError, match=r"no chip profile 'c3po' for model 'T4'"):
        to_scenario(trace, models={"T4": "c3po"})


@pytest.mark.parametrize(
    ("begin_s", "duration_s", "told"),
    [
        (5_000, 100, r"no job of the trace runs between its seconds 5000 and 5100.*from 0 to 1000"),
        (5_000, 100, r"from 0 to 1000; most jobs at a time ran at its second 300: 5\."),
        (5_000, None, "no job of the trace runs"),
        (0, 0, "duration of 0 s"),
        (0, 10**9, "duration of 1000000000 s"),
    ],
)
def test_a_time_without_jobs_is_refused(begin_s: int, duration_s: int | None, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        to_scenario(small_trace(), begin_s=begin_s, duration_s=duration_s)


def test_a_trace_without_jobs_is_refused(tmp_path: Path) -> None:
    pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,"
    trace = trace_of(tmp_path, NODES.read_text(), pods + "deletion_time,scheduled_time\n")
    with pytest.raises(ConfigError, match="no pod of the trace ran on a GPU"):
        to_scenario(trace)
