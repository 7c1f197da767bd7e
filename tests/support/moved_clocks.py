"""Clocks of processes that a test moves while they run."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("clock_preload.c")
_CLOCKS: Final = ("realtime", "boottime", "raw")


class MovedClocks:
    """Give `env` to a process, then `move` its clocks.

    Args:
        folder: for what is built.
    """

    def __init__(self, folder: Path) -> None:
        self._library = folder / "clocks.so"
        self._file = folder / "clocks"
        self._ms = dict.fromkeys(_CLOCKS, 0)
        self.move()
        command = ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*command, "-o", self._library, SOURCE], check=True)

    @property
    def env(self) -> dict[str, str]:
        """Of whom they are moved."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_OFFSETS": str(self._file)}

    def move(self, **by_ms: int) -> None:
        """Move ``realtime``, ``boottime`` or ``raw`` at once, forward or back."""
        for clock, span_ms in by_ms.items():
            self._ms[clock] += span_ms
        data = struct.pack("<3q", *(self._ms[clock] * 1_000_000 for clock in _CLOCKS))
        # In place: the processes have it mapped.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(data)
