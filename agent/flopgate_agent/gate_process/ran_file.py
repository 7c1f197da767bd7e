"""Gate running time on the disk: a reboot takes none of it away.

In a loose phase alone, where its age counts: a write that is waited for has no place where lanes
must be stopped in time. Reports keep it as well, and seldom; the lease keeps it each second, and
dies with the boot.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from flopgate_agent.gate.core import GateCore
from flopgate_agent.replacing import replace_file
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import Severity

EVERY_MS: Final = 10_000
"""So much is lost by a reboot at most. One write that is waited for, of some bytes."""
_BYTES_MAX: Final = 32
_LOG: Final = logging.getLogger("flopgate.gate")


class RanFile:
    """One number in a file.

    Attributes:
        ran_ms: as it was found, 0 where there is none or nothing that is understood.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next_ms = 0
        self.ran_ms = self._read()

    def write(self, core: GateCore, now_ms: int, *, ending: bool = False) -> None:
        """Write down what has run by now, where it is time to; ``now_ms``: host elapsed time."""
        # A clock that was set back must not make anybody wait for it.
        self._next_ms = min(self._next_ms, now_ms + EVERY_MS)
        due = ending or now_ms >= self._next_ms
        if not due or not core.enrolled or not core.permissions or core.in_force.bites:
            return
        self._next_ms = now_ms + EVERY_MS
        try:
            replace_file(self._path, str(core.running_ms).encode(), durable=True)
        except OSError as error:
            _LOG.error("cannot write %s: %s", self._path, error.strerror)
            core.findings.add("gate.running.unwritable", Severity.ALERT)

    def _read(self) -> int:
        try:
            with self._path.open("rb") as file:
                ran_ms = int(file.read(_BYTES_MAX))
        except (OSError, ValueError):
            return 0
        return ran_ms if 0 <= ran_ms <= COUNT_MAX else 0
