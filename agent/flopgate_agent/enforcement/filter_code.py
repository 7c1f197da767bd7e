"""The program that keeps processes out of one device: bytes of eBPF. Pure.

It says no to opening a character device of these numbers, to everybody but the cgroups that are
spared, whatever the path of the node, its owner and mode, or the rights of who asks. Making a node
harms nobody and is let be. Sources: ``include/uapi/linux/bpf.h`` (``struct bpf_cgroup_dev_ctx``),
``Documentation/bpf/standardization/instruction-set.rst``.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final

MAJOR_MAX: Final = 2**12 - 1
MINOR_MAX: Final = 2**20 - 1
SPARED_MAX: Final = 2_000
"""Cgroups; three instructions each, and a jump reaches 2^15."""
CHAR: Final = 2
OPEN: Final = 2 | 4
"""To read, to write; 1 is mknod."""
CURRENT_CGROUP_ID: Final = 80
"""Helper of the kernel, since Linux 4.18."""
# Opcodes: load a word of the context, load 64 bits at once, mov, and, shift, jumps, call, exit.
LDXW, LDDW, MOV, MOV_REG, AND, RSH = 0x61, 0x18, 0xB7, 0xBF, 0x57, 0x77
JEQ, JNE, JEQ_REG, CALL, EXIT = 0x15, 0x55, 0x1D, 0x85, 0x95
_HALF: Final = 0xFFFF_FFFF
_ACCESS, _MAJOR, _MINOR = 0, 4, 8


def filter_code(major: int, minor: int, spared: Collection[int]) -> bytes:
    """The program.

    Args:
        major: of the device, 0 to `MAJOR_MAX`.
        minor: of the device, 0 to `MINOR_MAX`.
        spared: ids of cgroups (1 to 2^64-1) whose own processes may go on opening it.

    Raises:
        ValueError: one of them is out of range, or they are more than `SPARED_MAX`.
    """
    known = 0 <= major <= MAJOR_MAX and 0 <= minor <= MINOR_MAX
    if not known or len(spared) > SPARED_MAX:
        raise ValueError(f"device {major}:{minor}, {len(spared)} cgroups")
    # Each check jumps over all that follow it to the last two, which say yes.
    spare = [part for cgroup in sorted(spared) for part in _load(cgroup)]
    checks = [
        (LDXW, 2, 1, 0, _MAJOR),
        (JNE, 2, 0, None, major),
        (LDXW, 2, 1, 0, _MINOR),
        (JNE, 2, 0, None, minor),
        (LDXW, 2, 1, 0, _ACCESS),
        (MOV_REG, 3, 2, 0, 0),
        (AND, 3, 0, 0, 0xFFFF),
        (JNE, 3, 0, None, CHAR),
        (RSH, 2, 0, 0, 16),
        (AND, 2, 0, 0, OPEN),
        (JEQ, 2, 0, None, 0),
        (CALL, 0, 0, 0, CURRENT_CGROUP_ID),
        *spare,
        (MOV, 0, 0, 0, 0),
        (EXIT, 0, 0, 0, 0),
    ]
    return b"".join(
        _insn(code, target, source, len(checks) - at - 1 if offset is None else offset, value)
        for at, (code, target, source, offset, value) in enumerate(checks)
    ) + (_insn(MOV, 0, 0, 0, 1) + _insn(EXIT, 0, 0, 0, 0))


def _load(cgroup: int) -> list[tuple[int, int, int, int | None, int]]:
    low, high = cgroup & _HALF, cgroup >> 32
    return [(LDDW, 4, 0, 0, low), (0, 0, 0, 0, high), (JEQ_REG, 0, 4, None, 0)]


def _insn(code: int, target: int, source: int, offset: int, value: int) -> bytes:
    # Of the context's fields the place stands in the offset, of all others the value.
    if code == LDXW:
        offset, value = value, 0
    return struct.pack("<BBhI", code, target | source << 4, offset, value)
