"""Who holds a device node open, by ``/proc/<pid>/fd``.

Complements the driver's own process list, which knows holders of a context only. Links are
read, never followed: a stat of a file on a dead network mount would hang the gate.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from flopgate_agent.enforcement.processes import ProcessId, ProcFs

DEFAULT_GLOBS = ("/dev/nvidia[0-9]*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHolders:
    """Holders of matching device nodes at one moment.

    Attributes:
        holders: processes with at least one matching descriptor.
        unreadable: processes whose descriptors could not be read, 0 or more; not 0 means
            that ``holders`` may lack some.
    """

    holders: frozenset[ProcessId]
    unreadable: int


def device_holders(
    globs: Sequence[str] = DEFAULT_GLOBS, proc: ProcFs | None = None
) -> DeviceHolders:
    """Find all processes that hold a node whose path matches one of ``globs``."""
    procfs = ProcFs() if proc is None else proc
    wanted = re.compile("|".join(fnmatch.translate(glob) for glob in globs) if globs else r"(?!)")
    holders: set[ProcessId] = set()
    unreadable = 0
    for pid in procfs.pids():
        before = procfs.process(pid)
        if before is None or before.kernel or before.exited:
            continue
        links = _links(f"{procfs.root}/{pid}/fd")
        if before.headless:
            # Its main thread has exited and shows no descriptors; the others keep theirs.
            links = _thread_links(procfs, pid)
        if links is None:
            unreadable += procfs.alive(before.id)
        elif any(wanted.match(link) for link in links) and procfs.alive(before.id):
            holders.add(before.id)
    return DeviceHolders(holders=frozenset(holders), unreadable=unreadable)


def _thread_links(procfs: ProcFs, pid: int) -> list[str]:
    folders = (f"{procfs.root}/{pid}/task/{tid}/fd" for tid in procfs.threads(pid))
    return [link for folder in folders for link in _links(folder) or ()]


def _links(folder: str) -> list[str] | None:
    links = []
    try:
        with os.scandir(folder) as entries:
            paths = [entry.path for entry in entries]
    except OSError:
        return None
    for path in paths:
        try:
            links.append(os.readlink(path))  # noqa: PTH115
        except OSError:
            continue  # closed since the listing
    return links
