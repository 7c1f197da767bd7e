"""Device nodes closed by their owner and mode: nobody but root opens the chip.

It holds where compute mode does not: for a chip cut into instances, and for graphics. It does not
hold for root, for a node of the same number that a container made for itself, nor for whoever has
the node open. NVIDIA's setuid helper may put the mode back when a program starts: that is found out
at the next renewal. All of it is gone after a reboot.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any, Final

from flopgate_agent.enforcement.chips.rung import NoWayError

DIGITS: Final = "[0-9]*"
"""In a pattern of nodes: stands for the chip's minor number."""
ANYBODY: Final = 0o666
"""Mode of NVIDIA's nodes unless its driver is told otherwise; they are root's."""
_MODE_BITS, _ID_BITS = 12, 32
_BITS = _MODE_BITS + 2 * _ID_BITS + 1


class Nodes:
    """See `rung.Rung`."""

    name: Final = "nodes"

    def __init__(self, patterns: Sequence[str]) -> None:
        """``patterns``: see `chip_paths`."""
        self._patterns = patterns

    def probe(self, nvml: ModuleType, handle: Any) -> None:
        """Set what is set."""
        for path, state in self._existing(nvml, handle):
            try:
                os.chmod(path, stat.S_IMODE(state.st_mode))  # noqa: PTH101
            except OSError as error:
                raise _no_way(error) from error

    def before(self, nvml: ModuleType, handle: Any) -> int | None:
        """Mode and owner of each node, in one number."""
        found = self._found(nvml, handle)
        states = [state for _, state in found if state is not None]
        if states and not any(stat.S_IMODE(state.st_mode) for state in states):
            return None
        return _pack(None if one is None else _rights(one) for _, one in found)

    def default(self, nvml: ModuleType, handle: Any) -> int:
        """As NVIDIA's driver makes them."""
        return _pack((ANYBODY, 0, 0) for _ in self._found(nvml, handle))

    def hold(self, nvml: ModuleType, handle: Any) -> None:
        """No right for anybody; an owner could give it back to himself, so it becomes root's."""
        found = self._existing(nvml, handle)
        refused = [error for path, _ in found if (error := _close(path)) is not None]
        # Where one is closed there is something to undo; `in_force` tells of the others.
        if len(refused) == len(found):
            raise _no_way(refused[0])

    def in_force(self, nvml: ModuleType, handle: Any) -> bool:
        """Look at them."""
        states = [state for _, state in self._found(nvml, handle) if state is not None]
        return bool(states) and not any(stat.S_IMODE(state.st_mode) for state in states)

    def undo(self, nvml: ModuleType, handle: Any, before: int) -> None:
        """Mode and owner of before; a node that came since stays as it came."""
        found = self._found(nvml, handle)
        for (path, state), known in zip(found, _unpack(before, len(found)), strict=True):
            if state is None or known is None:
                continue
            mode, uid, gid = known
            try:
                if (state.st_uid, state.st_gid) != (uid, gid):
                    os.chown(path, uid, gid)
                os.chmod(path, mode)  # noqa: PTH101
            except OSError as error:
                raise _no_way(error) from error

    def _existing(self, nvml: ModuleType, handle: Any) -> list[tuple[str, os.stat_result]]:
        found = [(path, one) for path, one in self._found(nvml, handle) if one is not None]
        if not found:
            raise NoWayError("NO_NODE")
        return found

    def _found(self, nvml: ModuleType, handle: Any) -> list[tuple[str, os.stat_result | None]]:
        """Each node that the chip may have; no link is followed."""
        return [(path, _look(path)) for path in chip_paths(self._patterns, nvml, handle)]


def chip_paths(patterns: Sequence[str], nvml: ModuleType, handle: Any) -> list[str]:
    """Where a chip's nodes may lie; a pattern without `DIGITS` is shared by chips and left out."""
    minor = str(nvml.nvmlDeviceGetMinorNumber(handle))
    return [pattern.replace(DIGITS, minor) for pattern in patterns if DIGITS in pattern]


def _look(path: str) -> os.stat_result | None:
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _no_way(error) from error
    return None if stat.S_ISLNK(state.st_mode) else state


def _rights(state: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid


def _close(path: str) -> OSError | None:
    try:
        os.chmod(path, 0)  # noqa: PTH101
    except OSError as error:
        return error
    with suppress(OSError):
        os.chown(path, 0, 0)
    return None


def _pack(nodes: Iterable[tuple[int, int, int] | None]) -> int:
    """As one number, for the journal; the last bit of each part says that there was a node."""
    packed = 0
    for node in nodes:
        packed <<= _BITS
        if node is not None:
            mode, uid, gid = node
            packed |= (((uid << _ID_BITS | gid) << _MODE_BITS | mode) << 1) | 1
    return packed


def _unpack(packed: int, count: int) -> list[tuple[int, int, int] | None]:
    nodes: list[tuple[int, int, int] | None] = []
    for _ in range(count):
        packed, part = packed >> _BITS, packed & (1 << _BITS) - 1
        ids, mode = part >> 1 + _MODE_BITS, part >> 1 & (1 << _MODE_BITS) - 1
        node = (mode, ids >> _ID_BITS, ids & (1 << _ID_BITS) - 1)
        nodes.insert(0, node if part & 1 else None)
    return nodes


def _no_way(error: OSError) -> NoWayError:
    return NoWayError(errno.errorcode.get(error.errno or 0, "ERROR"))
