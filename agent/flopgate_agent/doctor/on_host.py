"""Rights, enforcement, disk and clock of the host."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Final

from flopgate_agent.config import GateConfig
from flopgate_agent.doctor.verdict import Verdicts, good, mend, note
from flopgate_agent.enforcement.bpf import KernelPrograms
from flopgate_agent.enforcement.filter_code import filter_code
from flopgate_agent.enforcement.probing import EnforcerConfig, probe_host

FREE_BYTES_MIN: Final = 1_000_000_000
"""A report takes some kilobytes, and is kept until it is acknowledged: months of them."""
SYNC_S_MAX: Final = 0.5
"""A disk this slow is told: every report and every order waits for it."""
VOLATILE: Final = frozenset({"tmpfs", "ramfs", "overlay"})
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES: Final = 1024  # more than struct timex of any platform; zeros ask for nothing


def rights(config: GateConfig) -> Verdicts:
    """Whether the gate could stop everybody's processes, and how."""
    if os.geteuid() == 0:
        yield good("rights", "root: processes of every user can be stopped")
    else:
        found = f"uid {os.geteuid()}: only this user's processes can be stopped"
        yield note("rights", found, "Run this, and the gate, as root.")
    can, _ = probe_host(EnforcerConfig(use_cgroups=config.cgroup, cgroup_base="flopgate-doctor"))
    if can.cgroup_mount is not None:
        yield good("freezing", f"by cgroup v2 at {can.cgroup_mount}")
    else:
        yield note(
            "freezing",
            f"by signals, which a process can undo: {can.why_no_cgroup}",
            "Mount cgroup v2, and run the gate as root.",
        )
    yield from _device_filter(config, can.cgroup_mount)


def _device_filter(config: GateConfig, mount: str | None) -> Verdicts:
    """Whether the kernel would keep root and containers from opening a chip that is denied."""
    if not config.device_filter:
        yield note("device filter", "switched off by device_filter in gate.toml")
        return
    if mount is None:
        yield note("device filter", "needs cgroup v2")
        return
    programs = KernelPrograms(mount)
    try:
        programs.load("doctor", filter_code(0, 0, ()))
        count = len(programs.attached())
    except OSError as error:
        yield note(
            "device filter",
            f"bpf(2) says {error.strerror}: chips are closed by compute mode and rights alone",
            "It needs root, and CONFIG_CGROUP_BPF in the kernel.",
        )
        return
    yield good("device filter", f"the kernel takes it; {count} programs at the root cgroup now")


def disk(config: GateConfig) -> Verdicts:
    """Where the ledger lies: room, rights, and whether what is synced is kept."""
    folder = config.state_dir
    found = folder.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        yield mend(
            "state_dir",
            f"{folder} has owner {found.st_uid} and mode {stat.S_IMODE(found.st_mode):04o}",
            f"Run `chown {os.geteuid()} {folder}; chmod 700 {folder}`.",
        )
    kind = _filesystem(Path("/proc/self/mounts").read_text(encoding="utf-8"), folder)
    if kind in VOLATILE:
        yield mend(
            "state_dir",
            f"{folder} lies on {kind}, which a reboot may empty: the time since then would be "
            "charged, and the host would have to enrol anew",
            "Put state_dir on a disk that stays.",
        )
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES_MIN:
        how = f"Make room under {folder}: a full disk stops every job."
        yield mend("disk", f"{free / 1e9:.2f} GB free", how)
    started_s = time.monotonic()
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
    took_s = time.monotonic() - started_s
    said = f"{free / 1e9:.1f} GB free, a write is durable after {took_s * 1e3:.0f} ms"
    if took_s > SYNC_S_MAX:
        yield note("disk", said, "Put state_dir on a quicker disk.")
    elif free >= FREE_BYTES_MIN:
        yield good("disk", said)


def clock() -> Verdicts:
    """Whether anybody keeps the wall clock. Permits do not rest on it; certificates do."""
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state == _TIME_ERROR:
        how = "Run chrony or systemd-timesyncd. Permits do not rest on it, certificates do."
        yield note("clock", "nobody keeps the wall clock", how)
    elif state < 0:
        yield note("clock", f"the kernel does not say: {os.strerror(ctypes.get_errno())}")
    else:
        yield good("clock", "the wall clock is kept")


def _filesystem(mounts: str, folder: Path) -> str:
    """Kind of the file system on which a folder lies, from /proc/self/mounts."""
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        fields = line.split(" ")
        point = fields[1].replace("\\040", " ")
        inside = folder.resolve().is_relative_to(point)
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
