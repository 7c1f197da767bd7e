"""Worlds in processes of their own: whatever ends one costs one seed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from flopgate_proto.errors import EnvironmentFault
from flopgate_sim.campaign.outcome import Job, Runner
from flopgate_sim.campaign.pool import FAILURES_MAX, Pool
from flopgate_sim.campaign.worker import Done, Failure, Result
from tests.support import worlds
from tests.support.waiting import WAIT_S, until

ROOT = Path(__file__).parents[2]


def jobs(seeds: Iterable[int]) -> list[Job]:
    return [Job(scenario="pause-drill", seed=seed) for seed in seeds]


def by_seed(results: Iterable[Result]) -> dict[int, Result]:
    return {result.job.seed: result for result in results}


def run(runner: Runner, seeds: Iterable[int], processes: int = 2) -> dict[int, Result]:
    with Pool(runner, processes) as pool:
        return by_seed(pool.results(jobs(seeds)))


def children(pid: int) -> list[int]:
    """Processes that a process started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def workers(pid: int) -> list[int]:
    """Of those, the ones that run worlds."""
    found = []
    for child in children(pid):
        try:
            line = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"spawn_main" in line:
            found.append(child)
    return found


def wait_until_gone(pids: list[int]) -> None:
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), f"{pids} to end")


def test_every_job_comes_back_once_from_several_processes() -> None:
    results = run(worlds.quiet, range(30))
    assert sorted(results) == list(range(30))
    assert all(isinstance(result, Done) for result in results.values())
    assert workers(os.getpid()) == []


def test_death_raise_and_lack_of_memory_cost_one_seed_each_and_are_told() -> None:
    results = run(worlds.dying, range(12))
    assert sorted(results) == list(range(12))
    failed = {seed: one for seed, one in results.items() if isinstance(one, Failure)}
    assert {seed: one.reason for seed, one in failed.items()} == {
        3: "its process was ended by SIGKILL",
        5: "MemoryError",
        6: "ValueError: no [bold]such[/] thing",
        9: "its process ended with status 4",
    }
    assert "in dying" in failed[6].detail


def test_jobs_are_drawn_only_when_a_process_is_free() -> None:
    drawn: list[int] = []

    def endless() -> Iterable[Job]:
        while True:
            drawn.append(len(drawn))
            yield Job(scenario="pause-drill", seed=len(drawn))

    came = 0
    with Pool(worlds.quiet, 2) as pool, closing(pool.results(endless())) as results:
        for _ in results:
            came += 1
            assert len(drawn) <= came + 2
            if came == 20:
                break
    assert workers(os.getpid()) == []


def test_a_world_that_takes_too_long_is_given_up_and_the_others_go_on() -> None:
    with Pool(worlds.slow, 2) as pool:
        # Both processes are up then: the limit holds for worlds of 50 ms, and not for a start.
        assert len(list(pool.results(jobs([0, 1])))) == 2
        pool.limit_s = 5.0
        results = by_seed(pool.results(jobs(range(6))))
    assert {seed for seed, one in results.items() if isinstance(one, Failure)} == {2}
    assert isinstance(results[2], Failure)
    assert results[2].reason == "not done after 5 s"


def test_when_the_time_is_over_what_runs_is_cut_off() -> None:
    with Pool(worlds.slow, 1) as pool:
        assert len(list(pool.results(jobs([4])))) == 1
        results = list(pool.results(jobs([1, 2, 3]), time.monotonic() + 4.0))
    assert [one.job.seed for one in results] == [1, 2]
    assert isinstance(results[1], Failure)
    assert results[1].cut


def test_a_process_that_is_killed_while_it_waits_costs_nothing() -> None:
    with Pool(worlds.quiet, 1) as pool:
        assert len(list(pool.results(jobs([1])))) == 1
        (worker,) = workers(os.getpid())
        os.kill(worker, signal.SIGKILL)
        wait_until_gone_or_zombie(worker)
        (result,) = pool.results(jobs([2]))
    assert isinstance(result, Done)


def wait_until_gone_or_zombie(pid: int) -> None:
    until(lambda: pid not in children(os.getpid()), f"{pid} to end")


def test_where_nothing_runs_the_campaign_ends_and_says_so() -> None:
    came: list[Result] = []
    with (
        Pool(worlds.failing, 2) as pool,
        pytest.raises(EnvironmentFault, match="the engine is not there"),
    ):
        came.extend(pool.results(jobs(range(1000))))
    assert workers(os.getpid()) == []
    assert FAILURES_MAX == 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_every_process_and_sums_up(number: signal.Signals) -> None:
    program = (
        "import sys\n"
        "from flopgate_sim.commands import run as run_command\n"
        "from flopgate_sim.campaign.options import interrupt_on_sigterm\n"
        "from tests.support import worlds\n"
        "import argparse\n"
        "if __name__ == '__main__':\n"
        "    parser = argparse.ArgumentParser()\n"
        "    run_command.add_arguments(parser)\n"
        "    parsed = parser.parse_args(['pause-drill', '--seeds', '2,3..99999', '--jobs', '2'])\n"
        "    interrupt_on_sigterm()\n"
        "    sys.exit(run_command.play(run_command.request_of(parsed), worlds.slow))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        until(lambda: len(workers(process.pid)) == 2, "both workers")
        time.sleep(1.5)
        mine = workers(process.pid)
        # As a terminal does it: to the whole group.
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, err
    assert "interrupted; so far:" in out
    assert "seeds" in out
    assert err == ""
    wait_until_gone(mine)
