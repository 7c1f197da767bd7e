"""Programs of a cgroup that are asked before a device node is opened: bpf(2), as far as needed.

Sources: bpf(2), ``include/uapi/linux/bpf.h`` (``union bpf_attr``, ``struct bpf_prog_info``). What
is attached lives with the cgroup: it outlives whoever attached it, and ends with the boot.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

SYSCALLS: Final = {"x86_64": 321, "aarch64": 280}
PROGRAMS_MAX: Final = 64
"""The kernel takes no more for one cgroup (``BPF_CGROUP_MAX_PROGS``)."""
NAME_MAX: Final = 15
_LOAD, _ATTACH, _DETACH, _FD_BY_ID, _INFO, _QUERY = 5, 8, 9, 13, 15, 16
_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE = 15, 6
_ALLOW_MULTI: Final = 2
"""Beside those of others (systemd, container runtimes): all of them must say yes."""
_INFO_BYTES, _TAG, _NAME = 128, slice(8, 16), slice(64, 80)
_INSN_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One that is attached.

    Attributes:
        id: of the kernel, for one boot.
        name: as it was loaded, at most `NAME_MAX` characters.
        tag: the kernel's own digest of what it does.
    """

    id: int
    name: str
    tag: bytes


class DevicePrograms(Protocol):
    """Those of one cgroup. Each method may raise ``OSError`` as the kernel does."""

    def attached(self) -> list[Program]:
        """All, whoever attached them."""

    def load(self, name: str, code: bytes) -> bytes:
        """Have the kernel check a program; its tag. Nothing is attached."""

    def attach(self, name: str, code: bytes) -> None:
        """From now on it is asked, beside the others."""

    def detach(self, program: Program) -> None:
        """It is asked no more; fine where it is gone."""


class KernelPrograms:
    """See `DevicePrograms`.

    Args:
        cgroup: folder of the cgroup, in a v2 hierarchy.
    """

    def __init__(self, cgroup: str) -> None:
        self._cgroup = cgroup
        self._libc = ctypes.CDLL(None, use_errno=True)

    def attached(self) -> list[Program]:
        """All, whoever attached them."""
        ids = (ctypes.c_uint32 * PROGRAMS_MAX)()
        with self._folder() as cgroup:
            place = (cgroup, _ATTACH_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), PROGRAMS_MAX)
            told = self._call(_QUERY, struct.pack("<IIIIQI36x", *place))[1]
        (count,) = struct.unpack_from("<I", told, 24)
        found = []
        for number in ids[:count]:
            try:
                with self._by_id(number) as fd:
                    name, tag = self._info(fd)
            except FileNotFoundError:
                continue  # detached since
            found.append(Program(id=number, name=name, tag=tag))
        return found

    def load(self, name: str, code: bytes) -> bytes:
        """Have the kernel check a program; its tag. Nothing is attached."""
        with self._loaded(name, code) as fd:
            return self._info(fd)[1]

    def attach(self, name: str, code: bytes) -> None:
        """From now on it is asked, beside the others."""
        with self._loaded(name, code) as fd, self._folder() as cgroup:
            place = (cgroup, fd, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI)
            self._call(_ATTACH, struct.pack("<IIII", *place))

    def detach(self, program: Program) -> None:
        """It is asked no more; fine where it is gone."""
        try:
            with self._by_id(program.id) as fd, self._folder() as cgroup:
                place = (cgroup, fd, _ATTACH_CGROUP_DEVICE, 0)
                self._call(_DETACH, struct.pack("<IIII", *place))
        except FileNotFoundError:
            return

    @contextmanager
    def _loaded(self, name: str, code: bytes) -> Iterator[int]:
        insns = ctypes.create_string_buffer(code, len(code))
        license_name = ctypes.create_string_buffer(b"GPL")
        what = (_TYPE_CGROUP_DEVICE, len(code) // _INSN_BYTES)
        where = (ctypes.addressof(insns), ctypes.addressof(license_name))
        # No log of the verifier, no flags; the last field is the name, ended by a zero.
        attr = struct.pack("<IIQQIIQII16s", *what, *where, 0, 0, 0, 0, 0, name.encode()[:NAME_MAX])
        with _closing(self._call(_LOAD, attr)[0]) as fd:
            yield fd

    @contextmanager
    def _by_id(self, number: int) -> Iterator[int]:
        with _closing(self._call(_FD_BY_ID, struct.pack("<III", number, 0, 0))[0]) as fd:
            yield fd

    @contextmanager
    def _folder(self) -> Iterator[int]:
        with _closing(os.open(self._cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
            yield fd

    def _info(self, fd: int) -> tuple[str, bytes]:
        told = ctypes.create_string_buffer(_INFO_BYTES)
        self._call(_INFO, struct.pack("<IIQ", fd, _INFO_BYTES, ctypes.addressof(told)))
        name = told.raw[_NAME].split(b"\0", 1)[0]
        return name.decode("ascii", "replace"), told.raw[_TAG]

    def _call(self, command: int, attr: bytes) -> tuple[int, bytes]:
        number = SYSCALLS.get(os.uname().machine)
        if number is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        place = ctypes.create_string_buffer(attr, len(attr))
        result = int(self._libc.syscall(number, command, place, len(attr)))
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result, place.raw


@contextmanager
def _closing(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)
