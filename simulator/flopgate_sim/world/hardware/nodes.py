"""Device nodes of the world's chips, and what its kernels ask before one is opened."""

from __future__ import annotations

import hashlib
import os
from typing import Final

from flopgate_agent.enforcement.bpf import Program
from flopgate_agent.enforcement.chips.node_files import DIGITS, Node
from flopgate_sim.world.hardware.chips import Chip
from flopgate_sim.world.hardware.machine import Hardware

MAJOR: Final = 195
"""NVIDIA's."""
_FOLDER: Final = "/dev/nvidia"
PATTERN: Final = f"{_FOLDER}{DIGITS}"


class WorldNodes:
    """See `enforcement.chips.node_files.NodeFiles`: one node for each chip of a host."""

    def __init__(self, hardware: Hardware) -> None:
        self._hardware = hardware

    def look(self, path: str) -> Node:
        """What lies there: a chip's node always does."""
        index, chip = self._at(path)
        return Node(rights=chip.node, device=os.makedev(MAJOR, index))

    def set_mode(self, path: str, mode: int) -> None:
        """Permission bits."""
        _, chip = self._at(path)
        chip.node = (mode, *chip.node[1:])
        self._hardware.note_setting(chip)

    def set_owner(self, path: str, uid: int, gid: int) -> None:
        """User and group."""
        _, chip = self._at(path)
        chip.node = (chip.node[0], uid, gid)
        self._hardware.note_setting(chip)

    def _at(self, path: str) -> tuple[int, Chip]:
        index = int(path.removeprefix(_FOLDER))
        return index, self._hardware.chips[index]


class WorldPrograms:
    """See `enforcement.bpf.DevicePrograms`: of the root cgroup of a host.

    Which device a program closes stands in its name here; what the code of one says of each open
    is proven elsewhere (`tests/property/test_filter_code.py`).
    """

    def __init__(self, hardware: Hardware) -> None:
        self._hardware = hardware
        self._count = 0

    def attached(self) -> list[Program]:
        """All of them; there are none but the gate's."""
        return [one for chip in self._hardware.chips for one in chip.programs]

    def load(self, name: str, code: bytes) -> bytes:  # noqa: ARG002
        """The kernel's digest of it."""
        return hashlib.sha256(code).digest()[:8]

    def attach(self, name: str, code: bytes) -> None:
        """From now on nobody opens that device."""
        self._count += 1
        chip = self._hardware.chips[os.minor(int(name.rpartition("_")[2], 16))]
        chip.programs += (Program(id=self._count, name=name, tag=self.load(name, code)),)
        self._hardware.note_setting(chip)

    def detach(self, program: Program) -> None:
        """Others, if there are any, are asked on."""
        for chip in self._hardware.chips:
            if program in chip.programs:
                chip.programs = tuple(one for one in chip.programs if one != program)
                self._hardware.note_setting(chip)


def boot(hardware: Hardware) -> None:
    """Nodes are made anew, and no program is attached."""
    for chip in hardware.chips:
        chip.node, chip.programs = chip.own_node, ()
        hardware.note_setting(chip)
