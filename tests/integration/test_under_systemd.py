"""The units of gate and lock-down under a real systemd, with all their hardening."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.real_systemd import Machine
from tests.support.systemd_scene import LOCKDOWN, unit_file

pytestmark = pytest.mark.components


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    made = tmp_path / "shared"
    made.mkdir()
    return made


def play(machine: Machine, shared: Path, scene: str) -> None:
    inside = ["systemd-run", "--scope", "--quiet", "--", sys.executable, "-m"]
    ended = machine.run([*inside, "tests.support.systemd_scene", shared, scene])
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_law_9_restart_upgrade_and_crash_stop_no_job(tmp_path: Path, shared: Path) -> None:
    with Machine(tmp_path / "machine", shared) as machine:
        play(machine, shared, "restarted")


def test_law_8_a_gate_that_is_not_started_again_leaves_nothing_running(
    tmp_path: Path, shared: Path
) -> None:
    with Machine(tmp_path / "machine", shared) as machine:
        play(machine, shared, "gone")


def test_a_closed_chip_is_open_to_the_gate_that_starts_anew(tmp_path: Path, shared: Path) -> None:
    with Machine(tmp_path / "machine", shared) as machine:
        play(machine, shared, "closed")


def test_law_8_after_a_boot_nothing_begins_until_a_gate_permits_it(
    tmp_path: Path, shared: Path
) -> None:
    with Machine(tmp_path / "before", shared) as machine:
        play(machine, shared, "enforced")
    unit = tmp_path / LOCKDOWN
    unit.write_text(unit_file(LOCKDOWN, shared))
    with Machine(tmp_path / "after", shared, [unit], until="basic.target") as machine:
        play(machine, shared, "booted")
