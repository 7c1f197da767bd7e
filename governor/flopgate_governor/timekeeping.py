"""Governor time of a process, and what the store keeps of it for the next one of the same boot."""

from __future__ import annotations

from typing import Final, Self

from flopgate_governor.clocks import Clocks
from flopgate_governor.core.governor_time import SLACK_MS, GovernorTime
from flopgate_governor.store.database import Store

_KEPT: Final = "clock"
_COUNT_BYTES: Final = 8
_KEEP_MS: Final = SLACK_MS // 2
"""What moved by less is not written. The rest is left to the next process: before it has looked for
a span a clock of 500 ppm drifts by 300 ms more, which must not seem a leap."""


class Timekeeper:
    """Follows the clocks of one machine.

    Attributes:
        time: as of the last look.
    """

    __slots__ = ("_clocks", "_kept_unix_ms", "time")

    def __init__(self, clocks: Clocks, kept_unix_ms: int | None = None) -> None:
        """``kept_unix_ms``: when this boot began, as an earlier process believed."""
        self._clocks = clocks
        self._kept_unix_ms = kept_unix_ms
        self.time = GovernorTime.first(clocks.unix_ms(), clocks.boot_ms(), kept_unix_ms)

    @classmethod
    def load(cls, store: Store, clocks: Clocks) -> Self:
        """Go on from what the store keeps of this boot.

        Raises:
            StorageError: the store cannot be read.
        """
        kept = store.meta(_KEPT) or b""
        boot_id, began = kept[:-_COUNT_BYTES], kept[-_COUNT_BYTES:]
        same = bool(kept) and boot_id == clocks.boot_id
        return cls(clocks, int.from_bytes(began, signed=True) if same else None)

    def now_ms(self) -> int:
        """Look at the clocks."""
        self.time = self.time.seen(self._clocks.unix_ms(), self._clocks.boot_ms())
        return self.time.unix_ms

    def keep(self, store: Store) -> None:
        """Write down what is believed, unless that is what the store has.

        Raises:
            StorageError: it was not written.
        """
        began_unix_ms = self.time.began_unix_ms
        if self._kept_unix_ms is None or abs(began_unix_ms - self._kept_unix_ms) > _KEEP_MS:
            began = began_unix_ms.to_bytes(_COUNT_BYTES, signed=True)
            store.set_meta(_KEPT, self._clocks.boot_id + began)
            self._kept_unix_ms = began_unix_ms


def believe(store: Store, clocks: Clocks) -> None:
    """Somebody says that the wall clock is right: the next start goes on from what it shows.

    Raises:
        StorageError: it was not written.
    """
    Timekeeper(clocks).keep(store)
