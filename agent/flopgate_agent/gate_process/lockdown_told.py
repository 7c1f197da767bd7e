"""What a lock-down found while no gate was there goes into this gate's next report."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from flopgate_agent.gate.core import GateCore
from flopgate_agent.lockdown.record import findings_of, forget_record, read_record


class LockdownTold:
    """Its record, until a report that tells of it is kept.

    Args:
        folder: of the records of what is held.
        boot_id: hexadecimal.
    """

    def __init__(self, folder: Path, boot_id: str) -> None:
        self._folder = folder
        self._boot_id = boot_id
        self._since: int | None = None

    def tell(self, core: GateCore) -> None:
        """A gate has started, and holds the lock: nobody writes there any more."""
        found = findings_of(read_record(self._folder, self._boot_id))
        for one in found:
            core.findings.add(one.id, one.severity, subject=one.subject, detail=one.detail)
        if found:
            self._since = core.chain.sequence

    def forget(self, core: GateCore) -> None:
        """Remove it once the chain has gone on: a gate that dies before would tell nothing."""
        if self._since is not None and core.chain.sequence > self._since:
            self._since = None
            with suppress(OSError):
                forget_record(self._folder)
