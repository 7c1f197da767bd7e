"""Tells a service of the operator that a lane winds down: one datagram of JSON over a Unix socket.

For what no signal reaches: a checkpoint service, jobs in containers, `cuda-checkpoint`. Nothing
waits for it and nothing rests on it; a service that is not there or does not read is logged.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from pathlib import Path
from typing import Final

from flopgate_agent.gate.actions import Notify

PIDS_MAX: Final = 4096
"""More do not fit a datagram on every host."""
_LOG: Final = logging.getLogger("flopgate.gate")


class Announcer:
    """The sending end; ``None``: nobody wants to know."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def tell(self, notice: Notify) -> None:
        """Send it, or log why it could not be sent."""
        if self._path is None:
            return
        now_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        event = {
            "event": "wind-down",
            "workload": notice.workload,
            "left_ms": notice.left_ms,
            "deadline_boottime_ms": now_ms + notice.left_ms,
            "pids": notice.pids[:PIDS_MAX],
        }
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(json.dumps(event).encode(), str(self._path))
        except OSError as error:
            _LOG.warning("nobody takes notices at %s: %s", self._path, error.strerror or error)
