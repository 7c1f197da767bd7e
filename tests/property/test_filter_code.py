"""The program that closes a device, by an interpreter of its own."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.enforcement.filter_code import (
    CURRENT_CGROUP_ID,
    MAJOR_MAX,
    MINOR_MAX,
    SPARED_MAX,
    filter_code,
)
from tests.support.ebpf import run

BLOCK, CHAR = 1, 2
MKNOD, READ, WRITE = 1, 2, 4

majors, minors = st.integers(0, MAJOR_MAX), st.integers(0, MINOR_MAX)
cgroups = st.integers(1, 2**64 - 1)


def asked(code: bytes, kind: int, access: int, device: tuple[int, int], cgroup: int) -> bool:
    """Whether the kernel would let it be, as ``__cgroup_bpf_check_dev_permission`` asks."""
    context = struct.pack("<III", access << 16 | kind, *device)
    return bool(run(code, context, {CURRENT_CGROUP_ID: cgroup}))


@st.composite
def opens(draw: st.DrawFn) -> tuple[tuple[int, int], frozenset[int], tuple[int, int], int]:
    """A closed device and who is spared; a device that is opened, and from which cgroup."""
    closed = draw(st.tuples(majors, minors))
    spared = draw(st.frozensets(cgroups, max_size=20))
    device = draw(
        st.just(closed) | st.tuples(majors, minors) | st.tuples(st.just(closed[0]), minors)
    )
    who = draw(cgroups | st.sampled_from(sorted(spared)) if spared else cgroups)
    return closed, spared, device, who


@given(asks=opens(), kind=st.sampled_from([BLOCK, CHAR]), access=st.integers(0, 7))
def test_it_says_no_to_opening_that_device_and_to_nothing_else(
    asks: tuple[tuple[int, int], frozenset[int], tuple[int, int], int], kind: int, access: int
) -> None:
    closed, spared, device, who = asks
    opening = kind == CHAR and access & (READ | WRITE)
    refused = opening and device == closed and who not in spared
    assert asked(filter_code(*closed, spared), kind, access, device, who) == (not refused)


def test_a_jump_over_the_most_cgroups_still_reaches() -> None:
    spared = range(2**40, 2**40 + SPARED_MAX)
    code = filter_code(195, 3, spared)
    assert asked(code, CHAR, READ, (195, 3), 2**40 + SPARED_MAX - 1)
    assert not asked(code, CHAR, READ, (195, 3), 2**40 + SPARED_MAX)
    assert asked(code, CHAR, READ, (195, 4), 5)


@pytest.mark.parametrize(
    ("major", "minor", "spared"),
    [
        (-1, 0, ()),
        (MAJOR_MAX + 1, 0, ()),
        (195, MINOR_MAX + 1, ()),
        (195, 0, range(SPARED_MAX + 1)),
    ],
)
def test_what_no_program_could_say_is_refused(major: int, minor: int, spared: range) -> None:
    with pytest.raises(ValueError, match="device"):
        filter_code(major, minor, spared)
