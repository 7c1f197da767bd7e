"""The demonstration, small: real governor, gates, couriers and jobs; every law must hold."""

import subprocess
import sys

import pytest

from flopgate_sim.cli import main
from tests.support.waiting import WAIT_S

SCENES = 21


@pytest.mark.timeout(5 * WAIT_S)
def test_every_scene_plays_and_every_law_holds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flopgate_sim.cli", "demo", "--hosts", "8"],
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * WAIT_S,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert f"\n{SCENES}. " in done.stdout
    assert "every law held" in done.stdout
    assert "NO" not in done.stdout.split("What was measured")[1].split()


@pytest.mark.parametrize("hosts", ["2", "513"])
def test_a_demonstration_too_small_or_too_large_says_so(
    hosts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--hosts", hosts]) == 2
    assert f"--hosts is {hosts}. Write 4 to 512." in capsys.readouterr().err
