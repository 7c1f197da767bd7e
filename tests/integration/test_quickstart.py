"""docs/quickstart.md pasted into one shell, block after block, by both sides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.page import blocks
from tests.support.waiting import WAIT_S

ENDED = "kill $(jobs -p) || true"
"""Whatever a block that fails leaves running ends with the shell."""


def test_every_block_does_what_the_page_says(tmp_path: Path) -> None:
    build, *steps = blocks("quickstart.md")
    assert build.startswith("make build ")
    log = tmp_path / "shell.log"
    with log.open("wb") as file:
        done = subprocess.run(
            ["bash", "-eu", "-c", "\n".join([f"trap '{ENDED}' EXIT", *steps])],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            check=False,
            timeout=2 * WAIT_S,
        )
    said = log.read_text()
    assert done.returncode == 0, said[-4000:]
    for told in (
        "phase enforce  policy 1 of agency.example\nlane training-run-7  halted  budget.missing",
        "compute mode is prohibited\n",
        "exit status 3\n",
        "policy 2 of agency.example is on record",
        "lane training-run-7  running",
        "lane training-run-7  halted  pause.latched",
    ):
        assert told in said, told
