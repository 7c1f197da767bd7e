"""Disks of simulated machines, under the real SQLite: they lose, tear, fill up and are restored.

`DiskLayer` puts a VFS of its own in front of SQLite's default one, for the process: databases below
its folder lie in memory, on the disk that their folder names; all others are untouched. Production
code opens its paths unchanged.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import random
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from flopgate_proto.errors import MisuseError
from flopgate_sim.compiling import Compiler, built

NATIVE: Final = Path(__file__).parent / "native"
SOURCES: Final = ("fault_disk.c", "fault_vfs.c")
LIBRARY: Final = "libfault_disk.so"
KEEP_PERCENT: Final = 50
"""Chance of each write that was not synced to survive a loss of power."""

FOUND: Final = ".found"
"""Ends the name of the disk upon which a question about what is durable is asked."""

Snapshot = Mapping[str, bytes]
"""Files of a disk by name."""


def _make(compiler: Compiler, output: Path) -> None:
    compiler.compile(output / LIBRARY, SOURCES, ("-shared", "-fPIC"))


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(built(NATIVE, _make) / LIBRARY))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64
    signatures: dict[str, tuple[object, list[object]]] = {
        "flopgate_vfs_install": (ctypes.c_int, [pointer, pointer]),
        "flopgate_vfs_remove": (ctypes.c_int, [pointer, pointer]),
        "flopgate_disk_root": (ctypes.c_int, [text]),
        "flopgate_disk_open": (pointer, [text]),
        "flopgate_disk_close": (None, [pointer]),
        "flopgate_disk_crash": (None, [pointer]),
        "flopgate_disk_revive": (None, [pointer]),
        "flopgate_disk_died": (ctypes.POINTER(ctypes.c_int), [pointer]),
        "flopgate_disk_calls": (number, [pointer]),
        "flopgate_disk_fail_at": (None, [pointer, number, ctypes.c_int]),
        "flopgate_disk_fail_once": (None, [pointer, number]),
        "flopgate_disk_left": (None, [pointer, number]),
        "flopgate_disk_lies": (None, [pointer, ctypes.c_int]),
        "flopgate_disk_power_loss": (None, [pointer, ctypes.c_uint64, ctypes.c_int]),
        "flopgate_disk_unsynced": (number, [pointer, text]),
        "flopgate_disk_count": (ctypes.c_int, [pointer]),
        "flopgate_disk_file": (text, [pointer, ctypes.c_int, pointer, pointer]),
        "flopgate_disk_durable": (pointer, [pointer, text, pointer]),
        "flopgate_disk_wipe": (None, [pointer]),
        "flopgate_disk_put": (ctypes.c_int, [pointer, text, text, number]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@cache
def _sqlite() -> ctypes.CDLL:
    """The very SQLite that Python's own module uses, whether linked to it or part of it."""
    return ctypes.CDLL(str(importlib.import_module("_sqlite3").__file__))


def _address(name: str) -> ctypes.c_void_p:
    return ctypes.cast(getattr(_sqlite(), name), ctypes.c_void_p)


class Disk:
    """The disk of one machine. `DiskLayer.disk` makes it."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder = root / name
        self._library = _library()
        self._disk = self._library.flopgate_disk_open(f"{self.folder}/".encode())
        # Asked several times in each event: a look at the memory costs less than a call.
        self._died = self._library.flopgate_disk_died(self._disk).contents
        self._found: Disk | None = None
        self._made = False

    def path(self, name: str) -> Path:
        """Where a file of this disk is opened."""
        if not self._made:
            # Production code sets modes on its files before SQLite sees them.
            self.folder.mkdir(parents=True)
            self._made = True
        return self.folder / name

    def close(self) -> None:
        """Free its memory; every database on it must be closed."""
        if self._found is not None:
            self._found.close()
        self._library.flopgate_disk_close(self._disk)

    # ------------------------------------------------------------------ faults

    def crash(self) -> None:
        """The process that used it was killed: its handles are dead, what was written stays.

        Nobody can use the disk until `revive`.
        """
        self._library.flopgate_disk_crash(self._disk)

    def revive(self) -> None:
        """Another process starts and may use it."""
        self._library.flopgate_disk_revive(self._disk)

    @property
    def died(self) -> bool:
        """Whether the process died at a write, as `fail_at` wanted."""
        return bool(self._died.value)

    @property
    def calls(self) -> int:
        """Writes, truncations, syncs and deletions so far."""
        return int(self._library.flopgate_disk_calls(self._disk))

    def fail_at(self, number: int, *, tears: bool = True) -> None:
        """The process dies at this call from now on, 1 or more; a write may be done by half."""
        self._library.flopgate_disk_fail_at(self._disk, number, int(tears))

    def fail_once(self, number: int) -> None:
        """This call from now on fails with an I/O error; the process lives."""
        self._library.flopgate_disk_fail_once(self._disk, number)

    def fill(self, left_bytes: int) -> None:
        """Files may grow by so much in all; then the disk is full."""
        self._library.flopgate_disk_left(self._disk, left_bytes)

    def free(self) -> None:
        """There is room again."""
        self._library.flopgate_disk_left(self._disk, -1)

    def lie(self, *, lying: bool = True) -> None:
        """Syncs are acknowledged and not done."""
        self._library.flopgate_disk_lies(self._disk, int(lying))

    def power_loss(self, source: random.Random, keep_percent: int = KEEP_PERCENT) -> None:
        """Power is gone: of what was not synced any part is left, torn at whole sectors."""
        seed = source.getrandbits(64)
        self._library.flopgate_disk_power_loss(self._disk, seed, keep_percent)

    # ------------------------------------------------------------------ what is on it

    def unsynced_bytes(self, name: str) -> int:
        """What of a file would not surely survive a loss of power."""
        return int(self._library.flopgate_disk_unsynced(self._disk, name.encode()))

    def snapshot(self) -> Snapshot:
        """All files as they are now."""
        return {
            name: ctypes.string_at(data, size.value) if size.value else b""
            for name, data, size in self._files()
        }

    def _files(self) -> Iterator[tuple[str, ctypes.c_void_p, ctypes.c_int64]]:
        """Name of each file, where it lies in memory, and its bytes."""
        for number in range(self._library.flopgate_disk_count(self._disk)):
            data, size = ctypes.c_void_p(), ctypes.c_int64()
            name = self._library.flopgate_disk_file(
                self._disk, number, ctypes.byref(data), ctypes.byref(size)
            )
            if name is not None:
                yield name.decode(), data, size

    def restore(self, snapshot: Snapshot) -> None:
        """An earlier state takes the place of everything; whoever had files open is dead."""
        self._library.flopgate_disk_wipe(self._disk)
        for name, data in snapshot.items():
            self._library.flopgate_disk_put(self._disk, name.encode(), data, len(data))

    def durable(self) -> Snapshot:
        """What would surely survive a loss of power at this moment."""
        files = {}
        for name, _, size in self._files():
            data = self._library.flopgate_disk_durable(
                self._disk, name.encode(), ctypes.byref(size)
            )
            if size.value >= 0:
                files[name] = ctypes.string_at(data, size.value) if size.value else b""
        return files

    def ask_durable(self, name: str, *questions: str) -> tuple[Any, ...]:
        """A value to each question, from a database as it would be found after a loss of power.

        ``None`` where nothing would be found that can be asked.
        """
        if self._found is None:
            self._found = Disk(self.folder.parent, f"{self.folder.name}{FOUND}")
        self._found.restore(self.durable())
        self._found.revive()
        with closing(sqlite3.connect(self._found.path(name))) as database:
            return tuple(_answer(database, question) for question in questions)

    def digest(self) -> str:
        """SHA-256 over all files as they are now."""
        total = hashlib.sha256()
        for name, data in sorted(self.snapshot().items()):
            total.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        return total.hexdigest()


def _answer(database: sqlite3.Connection, question: str) -> Any:
    with suppress(sqlite3.Error):
        return database.execute(question).fetchone()[0]
    return None


class DiskLayer:
    """Disks below one folder, for one world at a time in this process; a context manager.

    Args:
        root: an empty folder; only names and modes of files are kept in it.
    """

    _open = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self._disks: list[Disk] = []

    def __enter__(self) -> Self:
        if DiskLayer._open:
            raise MisuseError("one disk layer at a time", code="sim.disk.open")
        library = _library()
        library.flopgate_disk_root(f"{self._root}/".encode())
        library.flopgate_vfs_install(_address("sqlite3_vfs_find"), _address("sqlite3_vfs_register"))
        DiskLayer._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _library().flopgate_vfs_remove(
            _address("sqlite3_vfs_register"), _address("sqlite3_vfs_unregister")
        )
        for disk in self._disks:
            disk.close()
        self._disks.clear()
        DiskLayer._open = False

    def disk(self, name: str) -> Disk:
        """A new, empty disk."""
        disk = Disk(self._root, name)
        self._disks.append(disk)
        return disk
