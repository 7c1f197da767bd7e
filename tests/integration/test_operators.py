"""docs/operators.md is followed to the letter, on a machine with a real systemd."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.real_systemd import Machine

pytestmark = pytest.mark.components


def test_a_fleet_from_the_first_install_to_the_last_host_that_leaves(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with Machine(tmp_path / "machine", shared) as machine:
        inside = ["systemd-run", "--scope", "--quiet", "--", sys.executable, "-m"]
        ended = machine.run([*inside, "tests.support.operators_scene", shared])
    assert ended.returncode == 0, ended.stdout + ended.stderr
