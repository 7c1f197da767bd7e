"""Where a governor of the world keeps its books."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from flopgate_governor.store.database import IN_MEMORY, Store
from flopgate_governor.store.prepared import driver_of
from flopgate_proto.errors import FlopgateError
from flopgate_sim.disk import Disk

STORE: Final = "governor.sqlite"
_NEWEST_BATCH: Final = "SELECT max(number) FROM batch"


class GovernorStore:
    """One governor's: on its disk, or in memory where no fault touches that, nor its process.

    It is SQLite all the same, with the same tables; what it wrote is as durable as it can be.
    """

    def __init__(self, disk: Disk, *, plain: bool) -> None:
        self._disk = disk
        self._plain = Store(IN_MEMORY) if plain else None

    def open(self) -> Store:
        """A process starts.

        Raises:
            StorageError: it cannot be opened.
        """
        return self._plain or Store(self._disk.path(STORE))

    def abandon(self, store: Store) -> None:
        """A dead process closes nothing; its handles only must not stay open in ours."""
        if store is not self._plain:
            with suppress(FlopgateError):
                store.close()

    def close(self) -> None:
        """The world ends."""
        if self._plain is not None:
            self._plain.close()

    def durable_batch(self) -> int:
        """The newest batch that would be found after a loss of power."""
        if self._plain is None:
            (newest,) = self._disk.ask_durable(STORE, _NEWEST_BATCH)
        else:
            with self._plain.transaction() as connection:
                ((newest,),) = driver_of(connection).execute(_NEWEST_BATCH)
        return newest or 0

    @property
    def unsynced_bytes(self) -> int:
        """What of its newest transactions would not surely be found then."""
        return 0 if self._plain is not None else self._disk.unsynced_bytes(f"{STORE}-wal")
