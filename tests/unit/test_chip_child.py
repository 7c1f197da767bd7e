"""The child that opens and closes chips, where there is no driver."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flopgate_agent.enforcement.chips.child import EXIT_DRIVER

PYNVML = """
class NVMLError(Exception):
    value = 9
NVML_ERROR_DRIVER_NOT_LOADED = 9
def nvmlInit():
    raise NVMLError
"""


def test_what_it_says_of_a_driver_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """It lands in the gate's own log."""
    (tmp_path / "pynvml.py").write_text(PYNVML, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "flopgate_agent.enforcement.chips.child", tmp_path, "boot", ""],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_DRIVER
    assert done.stderr == "nvmlInit: DRIVER_NOT_LOADED; no chip can be opened or closed\n"
