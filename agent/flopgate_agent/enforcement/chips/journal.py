"""What each chip was set to before the gate touched it, one file a chip, written before the act.

Whichever gate comes next finds there what to put back. All of it dies with the boot, as the
settings do: a file of another boot is no record.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from flopgate_agent.replacing import replace_file, stamp

_SUFFIX = ".chip.json"
_BYTES_MAX = 4096


class DamagedError(Exception):
    """There is a record of this boot, and what stands in it cannot be understood."""


class Records(Protocol):
    """Where it stands, by chip."""

    def load(self, uuid: str) -> dict[str, int]:
        """What was before, by rung; empty where the chip was not touched.

        Raises:
            DamagedError: nobody can tell what was before.
        """

    def save(self, uuid: str, before: dict[str, int]) -> None:
        """Replace the record as a whole; ``OSError`` where it cannot be written."""


class ChipJournal:
    """The records of one boot."""

    def __init__(self, folder: Path, boot_id: str) -> None:
        """``folder`` is made at the first write."""
        self._folder = folder
        self._boot_id = boot_id

    def load(self, uuid: str) -> dict[str, int]:
        """What was before, by rung; empty where the chip was not touched.

        Raises:
            DamagedError: nobody can tell what was before.
        """
        try:
            with self._path(uuid).open("rb") as file:
                found = json.loads(file.read(_BYTES_MAX))
            if found["boot_id"] != self._boot_id:
                return {}
            before = found["before"]
            if all(type(value) is int and value >= 0 for value in before.values()):
                return {str(rung): value for rung, value in before.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedError(str(error)) from error
        raise DamagedError("no whole numbers")

    def save(self, uuid: str, before: dict[str, int]) -> None:
        """Replace the record as a whole; ``OSError`` where it cannot be written."""
        path = self._path(uuid)
        if not before:
            path.unlink(missing_ok=True)
            return
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        document = {"boot_id": self._boot_id, "before": before}
        replace_file(path, json.dumps(document).encode())

    def stamp(self, uuid: str) -> tuple[int, int] | None:
        """Another for each record of this chip; ``None`` where there is none, of any boot."""
        return stamp(self._path(uuid))

    def _path(self, uuid: str) -> Path:
        return self._folder / f"{uuid}{_SUFFIX}"
