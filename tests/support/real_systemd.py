"""A real systemd as pid 1 of a container on this machine's own files, which it cannot change."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from flopgate_agent.enforcement.bpf import KernelPrograms
from flopgate_agent.enforcement.cgroups import Cgroup, Hierarchy
from tests.support.stage import mount
from tests.support.waiting import until

ROOT: Final = Path(__file__).parents[2]


class Machine:
    """Boots in ``with``. Needs root and systemd-nspawn.

    Args:
        folder: for its own files.
        shared: the same path inside and outside, and writable on both sides.
        units: further ones, which start with the boot.
        until: target that it boots to.
    """

    def __init__(
        self,
        folder: Path,
        shared: Path,
        units: Sequence[Path] = (),
        until: str = "sysinit.target",
    ) -> None:
        self._folder = folder
        self._shared = shared
        self._units = units
        self._until = until
        self._root = folder / "root"
        self._boot: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        self._root.mkdir(parents=True)
        # Without what is mounted below it: the container makes its own /dev, /proc, /run and /tmp.
        subprocess.run(["mount", "--bind", "/", self._root], check=True)
        command = ["systemd-nspawn", f"--directory={self._root}", "--volatile=overlay", "--boot"]
        command += ["--register=no", "--keep-unit", "--private-network", "--console=pipe"]
        command += ["--link-journal=no", f"--machine=flopgate-{os.getpid()}"]
        # Without it no unit inside may ask for the device filter, whatever its own settings.
        command += ["--system-call-filter=bpf"]
        command += [f"--bind={self._shared}", f"--bind-ro={ROOT}"]
        command += [f"--bind-ro={unit}:/etc/systemd/system/{unit.name}" for unit in self._units]
        command += [f"systemd.unit={self._until}"]
        command += [f"systemd.wants={unit.name}" for unit in self._units]
        # They would hide what is shared below /tmp, or clear it away.
        command += ["systemd.mask=tmp.mount", "systemd.mask=systemd-tmpfiles-setup.service"]
        with (self._folder / "boot.log").open("wb") as log:
            self._boot = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )
        try:
            until(self._is_up, lambda: f"a booted container: {self._said()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._boot is not None:
            if self._leader:
                os.kill(self._leader, signal.SIGKILL)
            self._boot.terminate()
            try:
                self._boot.wait(20)
            except subprocess.TimeoutExpired:
                self._boot.kill()
                self._boot.wait()
        subprocess.run(["umount", "--lazy", self._root], check=True)
        # A container shares its root cgroup with the next one, a host does not with its next boot.
        root = Cgroup(f"{mount()}/payload")
        for left in Path(root.path).glob("flopgate-*"):
            Hierarchy(root.path, left.name).tidy()
        programs = KernelPrograms(root.path)
        for one in programs.attached() if root.exists() else ():
            programs.detach(one)

    def run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root."""
        entered = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net"]
        entered += ["--pid", "--", "env", f"PYTHONPATH={ROOT}", *map(str, command)]
        return subprocess.run(entered, capture_output=True, text=True, check=False)

    def _is_up(self) -> bool:
        assert self._boot is not None
        assert self._boot.poll() is None, self._said()
        children = Path(f"/proc/{self._boot.pid}/task/{self._boot.pid}/children").read_text()
        for pid in map(int, children.split()):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                self._leader = pid
        if not self._leader:
            return False
        time.sleep(0.2)
        return self.run(["systemctl", "is-active", "--quiet", self._until]).returncode == 0

    def _said(self) -> str:
        return (self._folder / "boot.log").read_text(errors="replace")[-2000:]
