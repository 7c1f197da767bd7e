"""An interpreter of eBPF, written from the instruction set and not from the code that it checks."""

from __future__ import annotations

import struct

MASK = 2**64 - 1
STEPS_MAX = 100_000


def run(code: bytes, context: bytes, helpers: dict[int, int]) -> int:
    """What a program returns; ``helpers``: the result of each call, by number."""
    insns = list(struct.iter_unpack("<BBhi", code))
    registers: list[int | None] = [None] * 11
    registers[1] = 0  # the context's address
    at = 0
    for _ in range(STEPS_MAX):
        op, both, offset, value = insns[at]
        target, source = both & 15, both >> 4
        at += 1
        kind, way = op & 7, op & 0xF0
        if op == 0x61:
            place = read(registers, source) + offset
            assert 0 <= place <= len(context) - 4, "outside of the context"
            registers[target] = int.from_bytes(context[place : place + 4], "little")
        elif op == 0x18:
            high = insns[at][3]
            at += 1
            registers[target] = (value & 0xFFFFFFFF) | (high & 0xFFFFFFFF) << 32
        elif op == 0x85:
            registers[0] = helpers[value]
            registers[1:6] = [None] * 5  # a call leaves nothing in them
        elif op == 0x95:
            return read(registers, 0)
        elif kind == 7:
            right = read(registers, source) if op & 8 else value & MASK
            left = 0 if way == 0xB0 else read(registers, target)
            results = {0xB0: right, 0x50: left & right, 0x70: left >> (right & 63)}
            registers[target] = results[way] & MASK
        elif kind == 5:
            right = read(registers, source) if op & 8 else value & MASK
            left = read(registers, target)
            if {0x10: left == right, 0x50: left != right}[way]:
                at += offset
                assert offset >= 0, "no loops"
        else:
            raise AssertionError(f"unknown instruction {op:#x}")
    raise AssertionError("it does not end")


def read(registers: list[int | None], number: int) -> int:
    value = registers[number]
    assert value is not None, f"r{number} was never set"
    return value
