"""Strikes a process at the n-th call of a kind by which it writes durably (`crash_preload.c`)."""

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
_HEAD: Final = struct.Struct(f"=5Q{_PLACE_BYTES}s")
_FULL_AT: Final = 4 * 8


class How(IntEnum):
    """What befalls a process at a call.

    Of what is no write it is `AFTER` where it says `HALF`.
    """

    BEFORE = 0
    HALF = 1
    AFTER = 2
    FULL = 3
    FAIL = 4
    SHORT = 5

    @property
    def kills(self) -> bool:
        """Whether it is the end of it."""
        return self <= How.AFTER

    @property
    def words(self) -> str:
        """For people."""
        return _WORDS[self]

    def fits(self, place: str) -> bool:
        """Whether a call of this kind can be struck so: there is no half of a rename."""
        call = place.split(maxsplit=1)[0]
        writes = call in {"write", "pwrite"}
        return {
            How.HALF: writes,
            How.SHORT: writes,
            How.FULL: writes or call in {"ftruncate", "link"},
        }.get(self, True)


_WORDS: Final = {
    How.BEFORE: "killed before",
    How.HALF: "killed halfway through",
    How.AFTER: "killed after",
    How.FULL: "disk full from",
    How.FAIL: "I/O error at",
    How.SHORT: "half taken of",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One place of a life: the ``number``-th call (from 1) of a kind.

    Attributes:
        place: call and file, as `Switch.places` names them.
    """

    place: str
    number: int
    how: How

    def __str__(self) -> str:
        """For people."""
        return f"{self.how.words} call {self.number} of {self.place}"


class Switch:
    """Give `env` to one process at a time, a direct child of this one.

    Args:
        folder: for what is built; outside of all roots.
        roots: folders; what is written below them counts.

    Attributes:
        victim: a word of the command line of the process that is meant, which may be a child of
            the one that is given `env`; empty: the one that is given it.
    """

    def __init__(self, folder: Path, *roots: Path) -> None:
        self._library = folder / "crash.so"
        self._control = folder / "crash.control"
        self._roots = roots
        self.victim = ""
        with self._control.open("w+b") as file:
            file.truncate(_HEAD.size + PLACES_MAX * _PLACE_BYTES)
            self._map = mmap.mmap(file.fileno(), 0)
        command = ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*command, "-o", self._library, SOURCE, "-ldl"], check=True)

    @property
    def env(self) -> dict[str, str]:
        """Of the process that is to be struck."""
        meant = {"CRASH_VICTIM": self.victim} if self.victim else {}
        return {
            **meant,
            "LD_PRELOAD": str(self._library),
            "CRASH_CONTROL": str(self._control),
            "CRASH_ROOTS": ":".join(map(str, self._roots)),
            "CRASH_PARENT": str(os.getpid()),
        }

    def arm(self, strike: Strike | None) -> None:
        """Count from nothing; whoever makes this call is struck."""
        if strike is None:
            _HEAD.pack_into(self._map, 0, 0, 0, 0, 0, 0, b"")
        else:
            place = strike.place.encode()
            _HEAD.pack_into(self._map, 0, 0, strike.number, strike.how, 0, 0, place)

    def disarm(self) -> None:
        """Nobody is struck any more, and there is room; the count goes on."""
        self._map[_HEAD.size - _PLACE_BYTES : _HEAD.size] = bytes(_PLACE_BYTES)
        self._map[_FULL_AT : _FULL_AT + 8] = bytes(8)

    @property
    def calls(self) -> int:
        """Made since it was armed."""
        return int(_HEAD.unpack_from(self._map)[0])

    @property
    def struck(self) -> bool:
        """Whether the call was made."""
        return bool(_HEAD.unpack_from(self._map)[3])

    def places(self) -> list[str]:
        """Call and file of each since it was armed, oldest first; bounded by `PLACES_MAX`."""
        found = []
        for number in range(min(self.calls, PLACES_MAX)):
            begin = _HEAD.size + number * _PLACE_BYTES
            found.append(self._map[begin : begin + _PLACE_BYTES].split(b"\0", 1)[0].decode())
        return found
