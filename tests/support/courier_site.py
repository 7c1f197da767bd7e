"""One host as the courier sees it: a door, a courier as a real process, authorities on gRPC."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.support.fake_authority import FakeAuthority, Life
from tests.support.fake_gate import FakeGate

QUEUE_BYTES_MAX = 65536


def rss_kib(pid: int) -> int:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


class Site:
    """One host: a gate, its courier, and the courier's files."""

    def __init__(
        self,
        folder: Path,
        stack: ExitStack,
        *,
        answer_timeout_ms: int = 240_000,
        keepalive_ms: int = 60_000,
    ) -> None:
        self._stack = stack
        self.state = folder / "courier"
        (self.state / "authorities").mkdir(parents=True)
        self.log = folder / "courier.log"
        self.door = folder / "door"
        self.config = folder / "courier.toml"
        self.config.write_text(
            f'state_dir = "{self.state}"\ndoor_path = "{self.door}"\n'
            f"queue_bytes_max = {QUEUE_BYTES_MAX}\nbackoff_ms_max = 200\n"
            f"answer_timeout_ms = {answer_timeout_ms}\nkeepalive_ms = {keepalive_ms}\n",
            encoding="utf-8",
        )
        self.gate = FakeGate(self.door)
        self._stack.callback(lambda: self.gate.close())  # noqa: PLW0108 - the gate of then
        self.authorities: dict[str, FakeAuthority] = {}

    def restart_gate(self) -> None:
        """Another gate process with the same ledger."""
        old = self.gate
        old.close()
        self.gate = FakeGate(self.door)
        self.gate.reports.extend(old.reports)
        self.gate.acknowledged.update(old.acknowledged)

    def open_authority(
        self, name: str, life: Life | None = None, *, through_port: int | None = None
    ) -> FakeAuthority:
        """An authority that the courier knows; ``through_port`` if something stands between."""
        authority = FakeAuthority(life or Life(name))
        self.authorities[name] = authority
        self._stack.callback(self._stop_authority, name)
        description = self.state / "authorities" / f"{name}.toml"
        description.write_text(
            f'address = "127.0.0.1:{through_port or authority.link_port}"\n'
            f'enroll_address = "127.0.0.1:{authority.enroll_port}"\n',
            encoding="utf-8",
        )
        description.with_suffix(".ca.pem").write_bytes(authority.life.certifier.ca_pem)
        return authority

    def restart_authority(self, name: str) -> FakeAuthority:
        """The same authority again, on its ports."""
        self.authorities[name] = self.authorities[name].restarted()
        return self.authorities[name]

    def _stop_authority(self, name: str) -> None:
        self.authorities[name].stop()

    def start_courier(self, **environ: str) -> subprocess.Popen[bytes]:
        """The command, as a service manager starts it; ``environ`` on top of our own."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flopgate_agent.cli", "courier", "--config", self.config],
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def acknowledged(self, name: str, sequence: int) -> Callable[[], bool]:
        """Whether the gate holds the acknowledgement of ``name`` up to ``sequence``."""
        return lambda: self.gate.acknowledged.get(name) == sequence

    def logged(self) -> str:
        """Everything the courier said."""
        return self.log.read_text(encoding="utf-8")
