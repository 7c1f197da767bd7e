"""Device nodes closed by their owner and mode: nobody but root opens the chip.

It holds where compute mode does not: for a chip cut into instances, and for graphics. It does not
hold for root, for a node of the same number that a container made for itself, nor for whoever has
the node open. NVIDIA's setuid helper may put the mode back when a program starts: that is found out
at the next renewal. All of it is gone after a reboot.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any, Final

from flopgate_agent.enforcement.chips.node_files import HostFiles, Node, NodeFiles, chip_paths
from flopgate_agent.enforcement.chips.rung import NoWayError

ANYBODY: Final = 0o666
"""Mode of NVIDIA's nodes unless its driver is told otherwise; they are root's."""
_MODE_BITS, _ID_BITS = 12, 32
_BITS = _MODE_BITS + 2 * _ID_BITS + 1


class Nodes:
    """See `rung.Rung`."""

    name: Final = "nodes"

    def __init__(self, patterns: Sequence[str], files: NodeFiles | None = None) -> None:
        """``patterns``: see `chip_paths`."""
        self._patterns = patterns
        self._files = HostFiles() if files is None else files

    def probe(self, nvml: ModuleType, handle: Any) -> None:
        """Set what is set."""
        for path, node in self._existing(nvml, handle):
            try:
                self._files.set_mode(path, node.rights[0])
            except OSError as error:
                raise no_way(error) from error

    def before(self, nvml: ModuleType, handle: Any) -> int | None:
        """Mode and owner of each node, in one number."""
        found = self._found(nvml, handle)
        nodes = [node for _, node in found if node is not None]
        if nodes and not any(node.rights[0] for node in nodes):
            return None
        return _pack(None if node is None else node.rights for _, node in found)

    def default(self, nvml: ModuleType, handle: Any) -> int:
        """As NVIDIA's driver makes them."""
        return _pack((ANYBODY, 0, 0) for _ in self._found(nvml, handle))

    def hold(self, nvml: ModuleType, handle: Any) -> None:
        """No right for anybody; an owner could give it back to himself, so it becomes root's."""
        found = self._existing(nvml, handle)
        refused = [error for path, _ in found if (error := self._close(path)) is not None]
        # Where one is closed there is something to undo; `in_force` tells of the others.
        if len(refused) == len(found):
            raise no_way(refused[0])

    def in_force(self, nvml: ModuleType, handle: Any) -> bool:
        """Look at them."""
        nodes = [node for _, node in self._found(nvml, handle) if node is not None]
        return bool(nodes) and not any(node.rights[0] for node in nodes)

    def undo(self, nvml: ModuleType, handle: Any, before: int) -> None:
        """Mode and owner of before; a node that came since stays as it came."""
        found = self._found(nvml, handle)
        for (path, node), known in zip(found, _unpack(before, len(found)), strict=True):
            if node is None or known is None:
                continue
            mode, uid, gid = known
            try:
                if node.rights[1:] != (uid, gid):
                    self._files.set_owner(path, uid, gid)
                self._files.set_mode(path, mode)
            except OSError as error:
                raise no_way(error) from error

    def _close(self, path: str) -> OSError | None:
        try:
            self._files.set_mode(path, 0)
        except OSError as error:
            return error
        with suppress(OSError):
            self._files.set_owner(path, 0, 0)
        return None

    def _existing(self, nvml: ModuleType, handle: Any) -> list[tuple[str, Node]]:
        found = [(path, one) for path, one in self._found(nvml, handle) if one is not None]
        if not found:
            raise NoWayError("NO_NODE")
        return found

    def _found(self, nvml: ModuleType, handle: Any) -> list[tuple[str, Node | None]]:
        """Each node that the chip may have."""
        paths = chip_paths(self._patterns, nvml, handle)
        try:
            return [(path, self._files.look(path)) for path in paths]
        except OSError as error:
            raise no_way(error) from error


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


def no_way(error: OSError) -> NoWayError:
    """The kernel's reason, by its name."""
    return NoWayError(errno.errorcode.get(error.errno or 0, "ERROR"))
