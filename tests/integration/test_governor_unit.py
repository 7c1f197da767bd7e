"""The governor's unit under a real systemd, with all its hardening, as its own user."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.real_systemd import ROOT, Machine

pytestmark = pytest.mark.components

SCENE = "tests.support.governor_unit_scene"


def test_the_governor_serves_comes_back_and_has_its_files_and_clock(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with Machine(tmp_path / "machine", shared, until="basic.target") as machine:
        inside = ["systemd-run", "--scope", "--quiet", "--", sys.executable, "-m", SCENE, str(ROOT)]
        ended = machine.run(inside)
        assert ended.returncode == 0, ended.stdout + ended.stderr
