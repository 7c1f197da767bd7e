"""This version and the one before understand each other, both ways, and take each other's place."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from tests.support.versions import PARTS, Versions, unpack_previous
from tests.support.waiting import until

MIXED = [frozenset(old) for n in (1, 2) for old in combinations(PARTS, n)]


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_previous(tmp_path_factory.mktemp("previous"))


def test_the_version_before_is_another_one(previous: Path) -> None:
    program = "import flopgate_proto; print(flopgate_proto.__file__)"
    with Versions(previous / "none", previous, frozenset({"gate"})) as site:
        assert site.ask("gate", program).startswith(str(previous))
        assert not site.ask("courier", program).startswith(str(previous))


@pytest.mark.parametrize("old", MIXED, ids=lambda old: "old " + " and ".join(sorted(old)))
def test_each_mixture_of_two_versions_grants_renews_pauses_and_resumes(
    tmp_path: Path, previous: Path, old: frozenset[str]
) -> None:
    with Versions(tmp_path, previous, old) as site:
        site.found()
        site.start("gate")
        site.start("courier")
        site.until_told("lane.runs")
        halts, runs = site.count("lane.halted"), site.count("lane.runs")
        site.order("pause", "--scope", "cluster:c1", "--reason", "test", "--emergency")
        site.until_told("lane.halted", halts)
        site.order("resume", "--all")
        site.until_told("lane.runs", runs)
        assert site.count("order.pause") == site.count("order.resume") == 1


def test_each_part_is_upgraded_in_its_place_under_a_running_job(
    tmp_path: Path, previous: Path
) -> None:
    with Versions(tmp_path, previous, frozenset(PARTS)) as site:
        site.found()
        site.start("gate")
        site.start("courier")
        site.until_told("lane.runs")
        job = site.driver.start_workload(gpus=[0], fmt="fp16", drain_ms=100)
        until(lambda: site.driver.running(0), "the job to compute")
        for part in PARTS:
            runs, before = site.count("lane.runs"), site.sequence()
            site.upgrade(part)
            if part == "gate":
                site.until_told("lane.runs", runs)
            until(lambda: site.sequence() > before + 2, f"reports after {part}")  # noqa: B023
        assert job.poll() is None
        until(lambda: site.driver.running(0), "the job to go on")
