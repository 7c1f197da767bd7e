"""Device nodes as files: what is seen of one, and what can be set."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Protocol

DIGITS: Final = "[0-9]*"
"""In a pattern of nodes: stands for the chip's minor number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One that is there.

    Attributes:
        rights: its mode (permission bits), its owner's user and group.
        device: the kernel's number of the character device behind it, else ``None``.
    """

    rights: tuple[int, int, int]
    device: int | None


class NodeFiles(Protocol):
    """Where nodes lie. Each method may raise ``OSError``."""

    def look(self, path: str) -> Node | None:
        """What lies there; ``None`` where there is nothing, or a link, which is not followed."""

    def set_mode(self, path: str, mode: int) -> None:
        """Permission bits."""

    def set_owner(self, path: str, uid: int, gid: int) -> None:
        """User and group."""


class HostFiles:
    """See `NodeFiles`."""

    def look(self, path: str) -> Node | None:
        """What lies there."""
        try:
            state = os.lstat(path)
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(state.st_mode):
            return None
        return Node(
            rights=(stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid),
            device=state.st_rdev if stat.S_ISCHR(state.st_mode) else None,
        )

    def set_mode(self, path: str, mode: int) -> None:
        """Permission bits."""
        os.chmod(path, mode)  # noqa: PTH101

    def set_owner(self, path: str, uid: int, gid: int) -> None:
        """User and group."""
        os.chown(path, uid, gid)


def chip_paths(patterns: Sequence[str], nvml: ModuleType, handle: Any) -> list[str]:
    """Where a chip's nodes may lie; a pattern without `DIGITS` is shared by chips and left out."""
    minor = str(nvml.nvmlDeviceGetMinorNumber(handle))
    return [pattern.replace(DIGITS, minor) for pattern in patterns if DIGITS in pattern]
