"""Kills a process at the n-th call of a kind by which it writes durably (`crash_preload.c`)."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("crash_preload.c")
PLACES_MAX: Final = 16_384
_PLACE_BYTES: Final = 96
_HEAD: Final = struct.Struct(f"=4Q{_PLACE_BYTES}s")


class How(IntEnum):
    """Where of a call a process dies; of what is no write it is `AFTER` where it says `HALF`."""

    BEFORE = 0
    HALF = 1
    AFTER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """One place of a life: the ``number``-th call (from 1) of a kind.

    Attributes:
        place: call and file, as `Switch.places` names them.
    """

    place: str
    number: int
    how: How


class Switch:
    """Give `env` to one process at a time, a direct child of this one.

    Args:
        folder: for what is built; outside of all roots.
        roots: folders; what is written below them counts.
    """

    def __init__(self, folder: Path, *roots: Path) -> None:
        self._library = folder / "crash.so"
        self._control = folder / "crash.control"
        self._roots = roots
        with self._control.open("w+b") as file:
            file.truncate(_HEAD.size + PLACES_MAX * _PLACE_BYTES)
            self._map = mmap.mmap(file.fileno(), 0)
        command = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*command, "-o", self._library, SOURCE, "-ldl"], check=True)

    @property
    def env(self) -> dict[str, str]:
        """Of the process that is to die."""
        return {
            "LD_PRELOAD": str(self._library),
            "CRASH_CONTROL": str(self._control),
            "CRASH_ROOTS": ":".join(map(str, self._roots)),
            "CRASH_PARENT": str(os.getpid()),
        }

    def arm(self, death: Death | None) -> None:
        """Count from nothing; whoever makes this call dies."""
        if death is None:
            _HEAD.pack_into(self._map, 0, 0, 0, 0, 0, b"")
        else:
            place = death.place.encode()
            _HEAD.pack_into(self._map, 0, 0, death.number, death.how, 0, place)

    def disarm(self) -> None:
        """Nobody dies any more; the count goes on."""
        self._map[_HEAD.size - _PLACE_BYTES : _HEAD.size] = bytes(_PLACE_BYTES)

    @property
    def calls(self) -> int:
        """Made since it was armed."""
        return int(_HEAD.unpack_from(self._map)[0])

    @property
    def died(self) -> bool:
        """Whether the call was made."""
        return bool(_HEAD.unpack_from(self._map)[3])

    def places(self) -> list[str]:
        """Call and file of each since it was armed, oldest first; bounded by `PLACES_MAX`."""
        found = []
        for number in range(min(self.calls, PLACES_MAX)):
            begin = _HEAD.size + number * _PLACE_BYTES
            found.append(self._map[begin : begin + _PLACE_BYTES].split(b"\0", 1)[0].decode())
        return found
