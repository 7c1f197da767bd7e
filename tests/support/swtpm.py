"""A software TPM as a process: what it keeps lies in a folder, and its end can be a power cut."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Final, Self

from tests.support.waiting import WAIT_S, until

_PORTS_TRIED: Final = 20


class Swtpm:
    """In ``with``: a TPM that is powered on. ``folder`` is made where it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_pair()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(exist_ok=True)
        self.on()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    @property
    def tcti(self) -> str:
        """Where it is, as the TSS names it."""
        return f"swtpm:host=127.0.0.1,port={self.port}"

    def on(self) -> None:
        """Power on."""
        address = "bindaddr=127.0.0.1"
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder},mode=0600"]
        command += ["--server", f"type=tcp,port={self.port},{address}"]
        command += ["--ctrl", f"type=tcp,port={self.port + 1},{address}"]
        command += ["--flags", "not-need-init,startup-clear"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._listens, "swtpm to listen")

    def cut(self) -> None:
        """Power off without a word, as when a host loses power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(WAIT_S)
            self._process = None

    def stop(self) -> None:
        """It hangs: commands are taken, and not answered."""
        self._signal("STOP")

    def go_on(self) -> None:
        """It hangs no more."""
        self._signal("CONT")

    def shut_down(self) -> None:
        """What a kernel does before a reboot, and then the reboot."""
        env = {**os.environ, "TPM2TOOLS_TCTI": self.tcti}
        subprocess.run(["tpm2_shutdown", "--clear"], env=env, check=True, timeout=WAIT_S)
        self.cut()

    def tool(self, *command: str) -> str:
        """What one of tpm2-tools says."""
        env = {**os.environ, "TPM2TOOLS_TCTI": self.tcti}
        done = subprocess.run(
            command, env=env, check=True, timeout=WAIT_S, capture_output=True, text=True
        )
        return done.stdout

    def _signal(self, name: str) -> None:
        assert self._process is not None
        subprocess.run(["kill", f"-{name}", str(self._process.pid)], check=True)

    def _listens(self) -> bool:
        # The control channel: a connection to the other one would be the only one that is served.
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port + 1)) == 0


def _free_pair() -> int:
    """A port that is free, as is the one after it."""
    for _ in range(_PORTS_TRIED):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two free ports side by side")
