"""Has the topology read now and then, by a child that ends, and never waits for it.

The child writes into memory that the gate reads once the child has ended: no pipe can fill, and
nothing wakes the gate. ``now_ms`` is elapsed time of the host.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from flopgate_proto.codec import decode_topology
from flopgate_proto.errors import PeerError
from flopgate_proto.limits import TOPOLOGY_BYTES_MAX
from flopgate_proto.values import Topology

TOPOLOGY_COMMAND = (sys.executable, "-P", "-m", "flopgate_agent.counters.topology_child")
EVERY_MS = 600_000
"""Cables are moved by people; a report that is ten minutes late with it is in time."""
REAP_S = 2
"""How long `close` waits for a killed child to be gone."""
ANSWER_MS_MAX = 30_000
"""A driver without persistence takes many seconds to open eight chips."""


class TopologyClient:
    """At most one child at a time; one that hangs in the kernel is not joined by another."""

    def __init__(
        self,
        *,
        env: Mapping[str, str],
        command: Sequence[str] = TOPOLOGY_COMMAND,
        every_ms: int = EVERY_MS,
        answer_ms_max: int = ANSWER_MS_MAX,
    ) -> None:
        self._env = dict(env)
        self._command = tuple(command)
        self._every_ms = every_ms
        self._answer_ms_max = answer_ms_max
        self._child: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._answer = -1
        self._asked_ms: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child, from its start until it is gone."""
        return None if self._child is None else self._child.pid

    def handle_timer(self, now_ms: int) -> Topology | str | None:
        """Start a child when it is time, take its answer when it has ended.

        Returns a topology once, or once in words why there is none; ``None`` between.
        """
        if self._child is not None:
            status = self._child.poll()
            if status is None:
                return self._watch(self._child, now_ms)
            self._child = None
            return self._take(status)
        if self._asked_ms is None or not self._asked_ms <= now_ms < self._asked_ms + self._every_ms:
            self._asked_ms = now_ms
            return self._start()
        return None

    def close(self) -> None:
        """Kill the child."""
        if self._child is not None:
            self._child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout=REAP_S)
            self._child = None
            os.close(self._answer)

    def _start(self) -> str | None:
        self._killed = False
        self._answer = os.memfd_create("topology")
        try:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=self._answer,
                env=self._env,
                close_fds=True,
                # A Ctrl-C for the gate is the gate's business.
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._answer)
            return f"cannot start: {error}"
        return None

    def _watch(self, child: subprocess.Popen[bytes], now_ms: int) -> str | None:
        late = self._asked_ms is None or now_ms >= self._asked_ms + self._answer_ms_max
        if self._killed or not late:
            return None
        self._killed = True
        child.kill()
        return f"no answer in {self._answer_ms_max} ms"

    def _take(self, status: int) -> Topology | str | None:
        try:
            data = os.pread(self._answer, TOPOLOGY_BYTES_MAX + 1, 0)
        finally:
            os.close(self._answer)
        if self._killed:
            return None
        if status:
            return f"exit status {status}"
        try:
            return decode_topology(data)
        except PeerError as error:
            return error.detail
