"""Compiled worlds run as interpreted ones do. Needs gcc and minutes of CPU."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.components
@pytest.mark.timeout(1800)
def test_compiled_worlds_have_the_same_traces(tmp_path: Path) -> None:
    program = [sys.executable, "scripts/compiled.py", str(tmp_path / "compiled"), "--opt-level=0"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "16 worlds run as interpreted ones do" in done.stdout
