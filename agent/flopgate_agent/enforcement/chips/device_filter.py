"""Devices closed by the kernel: nobody but the host's own services opens the chip, nor root.

A program of the root cgroup is asked before each open. It holds where owner and mode of the node do
not: for root, and for a node that a container made for itself. It does not hold for who has the
node open, nor for what runs in a cgroup that is spared: the gate's own, and those of system
services (nvidia-persistenced, DCGM), whose restart is noticed within a minute. What is attached
outlives the gate.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from flopgate_agent.enforcement.bpf import DevicePrograms, KernelPrograms, Program
from flopgate_agent.enforcement.cgroups import find_mount
from flopgate_agent.enforcement.chips.node_files import HostFiles, NodeFiles, chip_paths
from flopgate_agent.enforcement.chips.nodes import no_way
from flopgate_agent.enforcement.chips.rung import NoWayError
from flopgate_agent.enforcement.filter_code import SPARED_MAX, filter_code
from flopgate_agent.enforcement.jobs import OF_USERS
from flopgate_agent.enforcement.processes import ProcFs, read_bytes

LABEL_DIGITS: Final = 6
_DEVICE_BITS: Final = 32
"""As the kernel numbers devices: 12 for the major, 20 for the minor."""
_DEVICE_MASK: Final = (1 << _DEVICE_BITS) - 1
_DEPTH_MAX: Final = 6
Spared = Callable[[], frozenset[int]]


class DeviceFilter:
    """See `rung.Rung`.

    Args:
        programs: of the root cgroup.
        patterns: of device nodes, see `nodes.chip_paths`; their numbers count, not their paths.
        label: tells this gate's programs from those of another on the same host.
        spared: ids of the cgroups that may open every chip, as of now.
        files: where nodes lie.
    """

    name: Final = "device_filter"

    def __init__(
        self,
        programs: DevicePrograms,
        patterns: Sequence[str],
        label: str,
        spared: Spared,
        files: NodeFiles | None = None,
    ) -> None:
        self._programs = programs
        self._patterns = patterns
        self._label = label
        self._spared = spared
        self._files = HostFiles() if files is None else files
        # What this process attached last, by name: whoever puts another in its place is found out.
        self._tags: dict[str, bytes] = {}

    def probe(self, nvml: ModuleType, handle: Any) -> None:
        """Let the kernel check the program, and look who is there."""
        try:
            for device in self._existing(nvml, handle):
                self._programs.load(self._name(device), self._code(device))
            self._programs.attached()
        except OSError as error:
            raise no_way(error) from error

    def before(self, nvml: ModuleType, handle: Any) -> int | None:
        """Which devices are about to be closed: their nodes may be gone when they are opened."""
        devices = self._devices(nvml, handle)
        return None if self._own(devices) else _pack(devices)

    def default(self, nvml: ModuleType, handle: Any) -> int:
        """Those of its nodes."""
        return _pack(self._devices(nvml, handle))

    def hold(self, nvml: ModuleType, handle: Any) -> None:
        """Attach; a program that spares other cgroups goes once the new one is there."""
        try:
            for device in self._existing(nvml, handle):
                name = self._name(device)
                self._tags[name] = self._put(name, device, self._own([device]))
        except OSError as error:
            raise no_way(error) from error

    def in_force(self, nvml: ModuleType, handle: Any) -> bool:
        """Look whether a program is attached for each."""
        devices = self._devices(nvml, handle)
        good = {
            one.name for one in self._own(devices) if self._tags.get(one.name, one.tag) == one.tag
        }
        return bool(devices) and good == {self._name(device) for device in devices}

    def undo(self, nvml: ModuleType, handle: Any, before: int) -> None:
        """Detach."""
        try:
            for one in self._own({*_unpack(before), *self._devices(nvml, handle)}):
                self._programs.detach(one)
                self._tags.pop(one.name, None)
        except OSError as error:
            raise no_way(error) from error

    def settle(self, *, wanted: bool) -> None:
        """What is held spares the caller, too, or is let go where this rung is not wanted any more.

        A gate that was started anew has a new cgroup, and would find its own chips closed.

        Raises:
            OSError: the kernel does not let it.
        """
        for one in self._programs.attached():
            known = re.fullmatch(rf"{self._label}_([0-9a-f]{{1,8}})", one.name)
            if known is not None and wanted:
                self._put(one.name, int(known[1], 16), [one])
            elif known is not None:
                self._programs.detach(one)

    def _put(self, name: str, device: int, found: Iterable[Program]) -> bytes:
        code = self._code(device)
        tag = self._programs.load(name, code)
        found = list(found)
        if not any(one.tag == tag for one in found):
            self._programs.attach(name, code)
        for one in found:
            if one.tag != tag:
                self._programs.detach(one)
        return tag

    def _code(self, device: int) -> bytes:
        return filter_code(os.major(device), os.minor(device), self._spared())

    def _name(self, device: int) -> str:
        return f"{self._label}_{device:x}"

    def _own(self, devices: Iterable[int]) -> list[Program]:
        names = {self._name(device) for device in devices}
        try:
            return [one for one in self._programs.attached() if one.name in names]
        except OSError as error:
            raise no_way(error) from error

    def _existing(self, nvml: ModuleType, handle: Any) -> list[int]:
        found = self._devices(nvml, handle)
        if not found:
            raise NoWayError("NO_DEVICE")
        return found

    def _devices(self, nvml: ModuleType, handle: Any) -> list[int]:
        """Numbers of the chip's character devices, each once."""
        found: dict[int, None] = {}
        for path in chip_paths(self._patterns, nvml, handle):
            with suppress(OSError):
                node = self._files.look(path)
                if node is not None and node.device is not None:
                    found[node.device & _DEVICE_MASK] = None
        return list(found)


def device_filter(mount: str, records: Path, patterns: Sequence[str] = ()) -> DeviceFilter:
    """Of this host.

    Args:
        mount: of the cgroup v2 hierarchy.
        records: folder of the chips' records, by which gates of one host differ.
        patterns: of device nodes.
    """
    label = hashlib.sha256(os.fsencode(records)).hexdigest()[:LABEL_DIGITS]
    return DeviceFilter(KernelPrograms(mount), patterns, label, lambda: spared_cgroups(mount))


def settle_filters(records: Path, *, wanted: bool) -> None:
    """See `DeviceFilter.settle`; to be called before anything of the caller's opens a chip."""
    mount = find_mount(os.fsdecode(read_bytes("/proc/self/mountinfo") or b""))
    # Where the kernel refuses there is nothing of ours, or who opens a chip says what is wrong.
    if mount is not None:
        with suppress(OSError):
            device_filter(mount, records).settle(wanted=wanted)


def spared_cgroups(mount: str, proc: ProcFs | None = None) -> frozenset[int]:
    """Ids of the caller's own cgroup and of those of system services, as `jobs` spares them.

    A cgroup's id is its folder's inode number (64-bit hosts, Linux 5.5 and newer).
    """
    found: set[int] = set()
    _services(mount, found, depth=0)
    # More than that no host has; the caller itself must be among them.
    spared = frozenset(sorted(found)[: SPARED_MAX - 1])
    own = (ProcFs() if proc is None else proc).cgroup(os.getpid())
    with suppress(OSError):
        spared |= {os.stat(f"{mount}{own or ''}").st_ino}  # noqa: PTH116
    return spared


def _services(folder: str, found: set[int], *, depth: int) -> None:
    try:
        with os.scandir(folder) as entries:
            inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for entry in inner:
        if entry.name.endswith(".service"):
            found.add(entry.inode())
        elif entry.name.endswith(".slice") and entry.name not in OF_USERS and depth < _DEPTH_MAX:
            _services(entry.path, found, depth=depth + 1)


def _pack(devices: Iterable[int]) -> int:
    """As one number, for the journal."""
    packed = 0
    for device in devices:
        packed = packed << _DEVICE_BITS | device
    return packed


def _unpack(packed: int) -> list[int]:
    devices = []
    while packed:
        devices.append(packed & _DEVICE_MASK)
        packed >>= _DEVICE_BITS
    return devices
