"""``flopgate-sim replay``: a recorded cluster under governance, and bad rows with their line."""

import shlex
from pathlib import Path

import pytest

from flopgate_sim.cli import main

NODES = """sn,cpu_milli,memory_mib,gpu,model
n-0,64000,262144,2,V100M32
n-1,96000,393216,8,A10
"""
PODS = """name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,\
pod_phase,creation_time,deletion_time,scheduled_time
p-0,4000,1024,1,500,,LS,Running,0,900,5
p-1,4000,1024,4,1000,A10,LS,Succeeded,60,700,70
"""


def written(folder: Path, pods: str) -> list[str]:
    (folder / "nodes.csv").write_text(NODES)
    (folder / "pods.csv").write_text(pods)
    names = ["--nodes", str(folder / "nodes.csv"), "--pods", str(folder / "pods.csv")]
    return ["replay", *names, "--duration-s", "900"]


def test_a_recorded_cluster_runs_and_breaks_no_law(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(written(tmp_path, PODS)) == 0
    told = capsys.readouterr().out
    assert "2 hosts, 2 jobs" in told
    assert "no law was broken in 1 seed" in told


def test_a_replay_can_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "replay.html"
    words = written(tmp_path, PODS)
    assert main([*words, "--report", str(page)]) == 0
    assert f"report: {page}" in capsys.readouterr().out.replace("\n", "")
    drawn = page.read_text(encoding="utf-8")
    assert drawn.count("<svg") >= 3
    again = shlex.join(["flopgate-sim", *words, "--seed", "1", "--signatures", "cheap"])
    assert f"<code>{again}</code>" in drawn


def test_a_page_that_cannot_be_written_costs_no_world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*written(tmp_path, PODS), "--report", str(tmp_path / "no" / "page.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--seed", "-1"), ("--seed", str(2**63)), ("--budget-tflop", "-1")], ids=" ".join
)
def test_odd_options_are_refused_in_one_line(
    tmp_path: Path, words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*written(tmp_path, PODS), *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"flopgate-sim: campaign.option: {' is '.join(words)}. Write 0 to ")


def test_pods_of_which_none_used_a_gpu_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(written(tmp_path, PODS.splitlines()[0])) == 2
    assert "no pod of the trace ran on a GPU of its nodes" in capsys.readouterr().err


def test_a_bad_row_is_told_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(written(tmp_path, PODS.replace("p-1,4000,1024,4", "p-1,4000,1024,four"))) == 2
    assert "pods.csv:3: num_gpu" in capsys.readouterr().err
