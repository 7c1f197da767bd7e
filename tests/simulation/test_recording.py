"""What a recorder sees of a real world, and that the world does not notice."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from flopgate_sim.campaign.outcome import (
    CAP,
    CAPACITY,
    CONSUMED,
    PERMITTED,
    Job,
    Outcome,
    Recording,
    Stop,
)
from flopgate_sim.world.run import run_job

SCENARIO: Final = """
name = "drill"
summary = "Four hosts in two workloads; one is paused, then everything, behind a cut link too."
duration_s = 2400

[[cluster]]
name = "alpha"
hosts = 4
chips_per_host = 2
budget_tflop = 10_000_000_000

[[cluster.workload]]
name = "training"
share = 0.5

[[cluster.workload]]
name = "serving"
share = 0.5

[policy]
threshold_tflop_per_s = 1_000

[faults]
gate_crash = 1

[[fault]]
at_s = 895
kind = "partition"
host = 0
span_s = 900

[[officer]]
at_s = 300
act = "pause"
scope = "workload:serving"

[[officer]]
at_s = 900
act = "emergency"

[[officer]]
at_s = 1800
act = "resume"
"""
PEAK_FLOP_PER_S: Final = 8 * 1.9789e15


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    path: Path = tmp_path_factory.mktemp("recording") / "drill.toml"
    path.write_text(SCENARIO)
    return Job(scenario=str(path), seed=1, recording=True)


@pytest.fixture(scope="module")
def recorded(job: Job) -> Outcome:
    return run_job(job)


@pytest.fixture
def recording(recorded: Outcome) -> Recording:
    assert recorded.breach is None
    assert recorded.recording is not None
    return recorded.recording


def values(recording: Recording, name: str) -> list[float]:
    (curve,) = (curve for curve in recording.curves if curve.name == name)
    return [value for _, value in curve.points]


def at(recording: Recording, name: str, moment_s: float) -> float:
    (curve,) = (curve for curve in recording.curves if curve.name == name)
    return [value for at_s, value in curve.points if at_s <= moment_s][-1]


def test_a_world_with_a_recorder_goes_its_way_as_one_without(job: Job, recorded: Outcome) -> None:
    plain = run_job(replace(job, recording=False))
    assert plain.recording is None
    assert (plain.trace_digest, plain.steps) == (recorded.trace_digest, recorded.steps)
    assert plain.counts == recorded.counts


def test_stops_are_timed_by_the_hardware_for_the_hosts_under_the_scope(
    recording: Recording,
) -> None:
    serving, everything = recording.stops
    assert isinstance(serving, Stop)
    assert (serving.text, serving.at_s) == ("pause of workload:serving", 300.0)
    assert (serving.hosts, serving.still) == (2, 2)
    assert serving.first_s is not None
    assert serving.last_s is not None
    # The policy leaves two minutes for a checkpoint, and a freeze takes moments.
    assert 120 <= serving.first_s <= serving.last_s < 130
    assert (everything.hosts, everything.still) == (2, 2)
    assert everything.first_s is not None
    assert everything.last_s is not None
    assert everything.first_s < 5
    # Behind the cut it ends by expiry, within the lifetime of a permit.
    assert 100 < everything.last_s <= 600


def test_curves_follow_what_officers_did(recording: Recording) -> None:
    assert recording.end_s == 2400
    assert max(values(recording, CAPACITY)) == pytest.approx(PEAK_FLOP_PER_S, rel=0.01)
    assert at(recording, CAPACITY, 600) == pytest.approx(PEAK_FLOP_PER_S / 2, rel=0.01)
    assert at(recording, CAPACITY, 1799) == 0
    assert at(recording, PERMITTED, 1799) == 0
    assert at(recording, CAPACITY, 2399) > 0
    consumed = values(recording, CONSUMED)
    assert consumed == sorted(consumed)
    assert 0 < consumed[-1] < PEAK_FLOP_PER_S * 2400
    assert values(recording, CAP) == [1e22]


def test_marks_tell_acts_faults_and_the_last_stop(recording: Recording) -> None:
    marks = [(mark.kind, mark.at_s) for mark in recording.marks]
    assert ("pause", 300.0) in marks
    assert ("pause", 900.0) in marks
    assert ("resume", 1800.0) in marks
    assert ("fault", 895.0) in marks
    assert [kind for kind, _ in marks].count("stop") == 2
    assert [at_s for _, at_s in marks] == sorted(at_s for _, at_s in marks)
