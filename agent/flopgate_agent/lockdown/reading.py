"""Which lease a lock-down goes by: that of this boot, else what is denied from a boot on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from flopgate_agent.lockdown.lease import (
    ANY_BOOT,
    Lease,
    LeaseError,
    of_unknown_lanes,
    read_lease,
)
from flopgate_agent.replacing import stamp

UNREADABLE_MS: Final = 30_000
"""A lease that was never understood says nothing of the time that is left. A gate that is started
anew, of another version, too, has replaced it by then."""
_LOG: Final = logging.getLogger("flopgate.lockdown")


class Reading:
    """Looks at the lease, and remembers what it understood last.

    Args:
        path: of the lease.
        boot_path: of what is denied from a boot on.
        boot_id: hexadecimal.

    Attributes:
        unchanged_ms: for how long lease and lock are as they were at the last look, by the
            caller's clock.
    """

    def __init__(self, path: Path, boot_path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_path = boot_path
        self._boot_id = boot_id
        self._understood: Lease | None = None
        self._seen: tuple[tuple[int, int] | None, bool] | None = None
        self._seen_ms = 0
        self._troubles: dict[Path, str] = {}
        self.unchanged_ms = 0

    def look(self, now_ms: int, *, gate_lives: bool) -> Lease | None:
        """What holds now; ``None`` where nothing does.

        Args:
            now_ms: of a clock that stands while the host is suspended.
            gate_lives: whether somebody holds the lock of those who act.
        """
        # Not what it says: one that is not understood is a sign of life, too. With the lock: a
        # gate that came back this moment has it before it writes. Before it is read: what comes
        # after that is another.
        seen = (stamp(self._path), gate_lives)
        lease = self._read(self._path, self._boot_id)
        if lease is not None:
            self._understood = lease
        if self._seen != seen:
            self._seen, self._seen_ms = seen, now_ms
        self.unchanged_ms = now_ms - self._seen_ms
        if self._understood is not None:
            return self._understood
        unread = self._path in self._troubles
        if gate_lives or (unread and self.unchanged_ms < UNREADABLE_MS):
            return None
        # No gate was there since the boot, or none that was understood.
        denied = self._read(self._boot_path, ANY_BOOT)
        if denied is None and self._boot_path in self._troubles:
            # It stands there only where rules bit: what it said is lost, that it was said is not.
            return of_unknown_lanes(self._boot_path.parent)
        return denied

    @property
    def renewed(self) -> bool:
        """Whether another lease lies there than at the last look."""
        return self._seen is None or self._seen[0] != stamp(self._path)

    def _read(self, path: Path, boot_id: str) -> Lease | None:
        try:
            lease = read_lease(path, boot_id)
        except LeaseError as error:
            if self._troubles.get(path) != str(error):
                self._troubles[path] = str(error)
                _LOG.error("%s cannot be used: %s", path, error)
            return None
        self._troubles.pop(path, None)
        return lease
