"""The child that sets chips, as a process at the other end of two pipes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from flopgate_agent.enforcement.chips.client import ChipLimits
from flopgate_agent.enforcement.chips.journal import ChipJournal
from flopgate_agent.enforcement.outcome import Capabilities
from flopgate_agent.enforcement.probing import EnforcerConfig

COMMAND: Final = (sys.executable, "-P", "-m", "flopgate_agent.enforcement.chips.child")


class SetterProcess:
    """See `client.Child`."""

    def __init__(
        self,
        *,
        env: Mapping[str, str],
        folder: Path,
        boot_id: str,
        nodes: Sequence[str] = (),
        cgroups: str | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Start it.

        Args:
            env: of the child.
            folder: of the journal.
            boot_id: of the journal.
            nodes: patterns, see `nodes.Nodes`.
            cgroups: mount of cgroup v2, see `device_filter`; ``None``: no such rung.
            command: what is started.
        """
        self._process = subprocess.Popen(
            (*command, str(folder), boot_id, cgroups or "", *nodes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(env),
            bufsize=0,
            close_fds=True,
            # A Ctrl-C for the gate is the gate's business.
            start_new_session=True,
        )
        if self._process.stdout is not None:
            os.set_blocking(self._process.stdout.fileno(), False)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def ask(self, line: bytes) -> None:
        """One request at most is in the pipe: this cannot block."""
        if self._process.stdin is not None:
            os.write(self._process.stdin.fileno(), line)

    def said(self, bytes_max: int) -> bytes:
        """What lies in the pipe."""
        said = b""
        if self._process.stdout is not None:
            with contextlib.suppress(BlockingIOError):
                while len(said) < bytes_max:
                    chunk = os.read(self._process.stdout.fileno(), bytes_max)
                    if not chunk:
                        break
                    said += chunk
        return said

    def hang_up(self) -> None:
        """Without its pipes it ends."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def wait(self, timeout_s: float) -> None:
        """Reap it, unless it hangs in the kernel."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=timeout_s)


def chip_limits(
    config: EnforcerConfig, can: Capabilities, env: Mapping[str, str], boot_id: str
) -> ChipLimits:
    """By children that set what this configuration asks for and this host can."""
    spawn = partial(
        SetterProcess,
        env=env,
        folder=config.state_dir,
        boot_id=boot_id,
        nodes=config.nodes,
        cgroups=can.cgroup_mount if config.device_filter else None,
    )
    return ChipLimits(spawn, ChipJournal(config.state_dir, boot_id).stamp)
