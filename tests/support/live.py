"""Runs ``flopgate-sim live`` and looks for what it left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.waiting import WAIT_S

LIVE = [sys.executable, "-m", "flopgate_sim.cli", "live"]


def live(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [*LIVE, *arguments], capture_output=True, text=True, check=False, timeout=2 * WAIT_S
    )


def closing(printed: str) -> dict[str, str]:
    """Rows of the closing table."""
    rows = [line.split("│") for line in printed.split("What was seen")[1].splitlines()]
    return {row[1].strip(): row[2].strip() for row in rows if len(row) > 2}


def alive_in(directory: Path) -> list[str]:
    """Command lines of processes that work on files of this directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended
            continue
        if str(directory) in command:
            found.append(command)
    return found
