"""The units of gate and lock-down under a real systemd, with all their hardening."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.real_systemd import Machine
from tests.support.systemd_scene import SCENES

pytestmark = pytest.mark.components


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_law_8_under_a_real_systemd(tmp_path: Path, scene: str) -> None:
    with Machine(tmp_path) as machine:
        inside = ["systemd-run", "--scope", "--quiet", "--", sys.executable, "-m"]
        inside += ["tests.support.systemd_scene", str(machine.shared), scene]
        ended = machine.run(inside)
        assert ended.returncode == 0, ended.stdout + ended.stderr
