"""A courier as a real process, between a gate's door and governors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.waiting import WAIT_S

AGENT: Final = "flopgate_agent.cli"


class CourierProcess:
    """One courier, which may come and go.

    Args:
        folder: an empty one.
        door: where it looks for the gate.

    Attributes:
        config: its file.
        log: all that it said.
    """

    def __init__(self, folder: Path, door: Path) -> None:
        self.config = folder.with_suffix(".toml")
        self.log = folder.with_suffix(".log")
        self._folder = folder
        self._door = door
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Its folder and its configuration."""
        self._folder.mkdir()
        self.config.write_text(
            f'state_dir = "{self._folder}"\ndoor_path = "{self._door}"\nbackoff_ms_max = 200\n'
        )

    def start(self, env: dict[str, str]) -> None:
        """Start it, with more in its environment, and wait for nothing."""
        command = [sys.executable, "-m", AGENT, "courier", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def send(self, number: int) -> None:
        """A signal, where it lives."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: int = signal.SIGKILL) -> int:
        """A signal, and its end; the exit status, 0 where there is none."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(WAIT_S)

    @property
    def ended(self) -> bool:
        """Whether there is none any more."""
        return self._process is None or self._process.poll() is not None

    def forget_keys(self) -> None:
        """The next one makes a key, and has it certified."""
        keys = [path for path in self._folder.iterdir() if path.is_file()]
        for path in (*self._folder.glob("certificates/*"), *keys):
            path.unlink()
