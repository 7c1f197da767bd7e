"""``flopgate-sim run`` and ``campaign``: what they say, and how they end."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flopgate_proto.errors import ConfigError, EnvironmentFault
from flopgate_sim.campaign.outcome import Job, Runner
from flopgate_sim.campaign.request import Request
from flopgate_sim.cli import main
from flopgate_sim.commands import campaign as campaign_command
from flopgate_sim.commands import run as run_command
from flopgate_sim.world.run import run_job
from tests.support import worlds
from tests.support.waiting import WAIT_S

TINY = """
name = "tiny"
summary = "Two hosts for eight minutes, and a pause."
duration_s = 480

[[cluster]]
name = "alpha"
hosts = 2
chips_per_host = 1
budget_tflop = 10_000_000_000

[policy]
threshold_tflop_per_s = 1_000

[faults]
gate_crash = 6

[[officer]]
at_s = 120
act = "emergency"

[[officer]]
at_s = 300
act = "resume"
"""


def request(*words: str) -> Request:
    parser = argparse.ArgumentParser()
    run_command.add_arguments(parser)
    return run_command.request_of(parser.parse_args(list(words)))


def play(runner: Runner, *words: str) -> int:
    return run_command.play(request(*words), runner)


def campaign(runner: Runner, *words: str) -> int:
    parser = argparse.ArgumentParser()
    campaign_command.add_arguments(parser)
    return campaign_command.play(parser.parse_args(list(words)), runner)


def squeezed(text: str) -> str:
    """Without frames and spaces of tables."""
    return re.sub(r"[\s─-╿]+", " ", text)


def test_a_clean_run_says_what_was_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert play(worlds.quiet, "pause-drill", "--seeds", "1..20", "--jobs", "2") == 0
    out, err = capsys.readouterr()
    said = squeezed(out)
    assert " seeds 20 breaches 0 laws judged 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 events 20,210 " in said
    assert " host-hours 40 " in said
    assert " host-hours per second of CPU 4 " in said
    assert " gate_crash 800 " in said
    assert " grants 240 refusals 20 " in said
    assert out.rstrip().endswith("no law was broken in 20 seeds")
    assert "\x1b" not in out, "a bar or colours where no terminal is"
    assert err == ""


def test_a_breach_is_told_with_its_timeline_and_the_command_that_replays_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert play(worlds.broken, "pause-drill", "--seeds", "1..20", "--jobs", "2") == 1
    out = capsys.readouterr().out
    assert "law 2 is broken: pause-drill, seed 7" in out
    assert "at 0:25:03.120 of world time, step 4,711" in out
    for line in worlds.TIMELINE:
        assert line in out
    for seed in (7, 14):
        command = f"flopgate-sim run pause-drill --seeds {seed} --signatures cheap --timeline"
        assert f"again: {command}\n" in out
        assert out.count(command) == 2
    assert "pause-drill 7 2 the cap 4,711 0:25:03.120 cluster:alpha: 11 settled" in squeezed(out)
    assert out.rstrip().endswith("2 breaches in 20 seeds")


def test_it_ends_after_so_many_breaches(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("pause-drill", "--seeds", "1..100000", "--jobs", "2", "--stop-after", "2")
    assert play(worlds.broken, *words) == 1
    assert "2 breaches in 1" in capsys.readouterr().out


def test_shrinking_leaves_the_guilty_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert play(worlds.broken, "pause-drill", "--seeds", "14,7,3", "--jobs", "2", "--shrink") == 1
    out = capsys.readouterr().out
    assert re.search(
        r"law 2, seed 7: 2 faults of 40 left after \d+ runs; none can be left out", out
    )
    assert "--seeds 7 --faults 7,31 --signatures cheap" in out
    assert play(worlds.broken, "pause-drill", "--seeds", "7", "--faults", "7,31") == 1
    assert play(worlds.broken, "pause-drill", "--seeds", "7", "--faults", "7") == 0


def test_worlds_that_end_their_process_are_failures_with_a_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert play(worlds.dying, "pause-drill", "--seeds", "0..11", "--jobs", "2") == 1
    out = capsys.readouterr().out
    assert "pause-drill, seed 3: its process was ended by SIGKILL" in out
    assert "ValueError: no [bold]such[/] thing" in out
    assert " seeds that did not come to their end 4 " in squeezed(out)
    assert "no breach, but some worlds did not come to their end in 8 seeds" in out


def test_where_nothing_runs_it_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert play(worlds.failing, "pause-drill", "--seeds", "1..100000", "--jobs", "2") == 1
    assert "campaign.worlds.failing: 20 worlds in a row" in capsys.readouterr().out


def test_a_world_that_runs_differently_twice_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("pause-drill", "--seeds", "1..11", "--jobs", "2", "--report")
    assert play(worlds.drifting, *words, str(tmp_path / "out.html")) == 1
    assert "seed 1 did not run the same way twice" in capsys.readouterr().out
    assert play(worlds.quiet, *words, str(tmp_path / "out.html")) == 0


def test_a_page_that_finds_no_room_costs_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("pause-drill", "--seeds", "1..11", "--jobs", "2", "--report", "/dev/full")
    with pytest.raises(EnvironmentFault, match="/dev/full cannot be written whole: No space"):
        play(worlds.quiet, *words)
    assert capsys.readouterr().out.endswith("no law was broken in 11 seeds\n")


def test_a_report_shows_breaches_first(tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    assert (
        play(worlds.broken, "pause-drill", "--seeds", "1..40", "--jobs", "2", "--report", str(page))
        == 1
    )
    shown = re.findall(r'<section id="seed-(\d+)">', page.read_text())
    assert shown == ["7", "14", "21", "28", "35", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["pause-dril"], "Did you mean pause-drill?"),
        (["none.toml"], "none.toml"),
        (["pause-drill", "--seeds", "3..1"], "--seeds: 3..1 runs backwards"),
        (["pause-drill", "--faults", "x"], "--faults: 'x' is no number"),
        (["pause-drill", "--faults", "0..9999999"], "10000000 faults"),
        (["pause-drill", "--jobs", "0"], "--jobs is out of range"),
        (["pause-drill", "--jobs", "257"], "1 to 256"),
        (["pause-drill", "--stop-after", "0"], "--stop-after is out of range"),
        (["pause-drill", "--limit-s", "nan"], "--limit-s is out of range"),
        (["pause-drill", "--report", "/nowhere/x.html"], "there is no folder /nowhere"),
        (["pause-drill", "--report", "."], ". cannot be written: is a folder"),
    ],
)
def test_misuse_is_told_in_one_line(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError):
        request(*words)
    assert main(["run", *words]) == 2
    out, err = capsys.readouterr()
    assert problem in err
    assert (out, err.count("\n")) == ("", 1)


def test_real_worlds_from_the_command_line(tmp_path: Path) -> None:
    """The whole way, as a user goes it; the same seed gives the same trace in another process."""
    scenario, page = tmp_path / "tiny.toml", tmp_path / "out.html"
    scenario.write_text(TINY)
    words = ["run", str(scenario), "--seeds", "1,2", "--jobs", "2", "--timeline"]
    done = subprocess.run(
        [sys.executable, "-m", "flopgate_sim.cli", *words, "--report", str(page)],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "no law was broken in 2 seeds" in done.stdout
    assert "emergency of everything: 2 of 2 hosts still" in page.read_text()
    plain = run_job(Job(scenario=str(scenario), seed=1))
    assert f"seed 1, trace {plain.trace_digest}" in done.stdout
    assert f"<code>{plain.trace_digest}</code>" in page.read_text()


def test_a_fault_that_the_plan_does_not_have_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "tiny.toml"
    scenario.write_text(TINY)
    assert main(["run", str(scenario), "--faults", "999", "--jobs", "1"]) == 1
    assert "faults, counted from 0" in capsys.readouterr().out


def test_a_campaign_runs_scenarios_in_turns_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    words = ["--scenarios", "pause-drill,small-faults", "--jobs", "2", "--log", str(log)]
    words += ["--stop-after", "3", "--minutes", "5"]
    assert campaign(worlds.broken, *words) == 1
    assert "3 breaches in" in capsys.readouterr().out
    first = [json.loads(line)["job"] for line in log.read_text().splitlines()]
    assert {job["scenario"] for job in first} == {"pause-drill", "small-faults"}
    assert campaign(worlds.broken, *words) == 1
    jobs = [json.loads(line)["job"] for line in log.read_text().splitlines()]
    seeds = [(job["scenario"], job["seed"]) for job in jobs]
    assert len(set(seeds)) == len(seeds), "a seed was run twice"
    assert {job["signatures"] for job in jobs if job["seed"] % 10 == 0} == {"real"}
    assert {job["signatures"] for job in jobs if job["seed"] % 10} == {"cheap"}
    capsys.readouterr()
    assert campaign(worlds.broken, "--summary", "--log", str(log)) == 1
    said = squeezed(capsys.readouterr().out)
    assert f" (this) {len(jobs)} 6 0 {2 * len(jobs)} 4 " in said
    assert f"6 breaches in {len(jobs)} seeds" in said


def test_a_campaign_ends_when_its_time_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--scenarios", "small-faults,exaflop-100", "--jobs", "2", "--minutes", "0.05")
    assert campaign(worlds.unhurried, *words) == 0
    out = capsys.readouterr().out
    assert "no law was broken" in out
    assert "no time for: exaflop-100" in out


def test_a_campaign_over_given_seeds_runs_each_once_and_begins_with_the_largest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    words = ["--scenarios", "small-faults,exaflop-100,pause-drill", "--host-hours-max", "1000"]
    words += ["--seeds", "2..3,10", "--jobs", "1", "--log", str(log)]
    assert campaign(worlds.broken, *words) == 0
    assert "no law was broken" in capsys.readouterr().out
    jobs = [json.loads(line)["job"] for line in log.read_text().splitlines()]
    assert [(job["scenario"], job["seed"]) for job in jobs] == [
        (name, seed) for name in ("pause-drill", "small-faults") for seed in (2, 3, 10)
    ]
    assert [job["seed"] for job in jobs if job["signatures"] == "real"] == [10, 10]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--seeds", "1..x"], "--seeds"),
        (["--host-hours-max", "0.1"], "leaves no scenario. The smallest has"),
        (["--minutes", "0"], "--minutes is out of range"),
        (["--minutes", "nan"], "--minutes is out of range"),
        (["--scenarios", "pause-drill,nothing"], "no scenario 'nothing'"),
        (["--scenarios", "pause-drill,pause-drill"], "--scenarios names one twice"),
        (["--summary"], "--summary needs --log"),
        (["--summary", "--log", "/nowhere/x"], "/nowhere/x is not there"),
        (["--log", "/nowhere/x"], "/nowhere/x cannot be written"),
        (["--jobs", "-1"], "--jobs is out of range"),
    ],
)
def test_misuse_of_a_campaign_is_told_in_one_line(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["campaign", *words]) == 2
    out, err = capsys.readouterr()
    assert problem in err
    assert (out, err.count("\n")) == ("", 1)


def test_a_log_of_other_code_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("torn\n")
    assert main(["campaign", "--summary", "--log", str(log)]) == 0
    out = capsys.readouterr().out
    assert "unreadable lines: 1" in out
    assert "no seed was run with the code that is installed here" in out
