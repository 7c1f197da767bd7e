"""Whose processes a lane's are: its name, and all that must end when it must."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from flopgate_agent.enforcement.devices import device_holders
from flopgate_agent.enforcement.processes import ProcFs


def lane_id(workload: str) -> str:
    """Name of a lane that is fit for a directory and stays the same over restarts."""
    return hashlib.sha256(workload.encode()).hexdigest()[:16]


def job_pids(listed: Iterable[int], globs: Sequence[str], proc: ProcFs | None = None) -> set[int]:
    """The driver's list, and whoever holds a device node open without standing in it.

    A system service that holds one (nvidia-persistenced) does no work of a job: left alone.
    """
    procfs = ProcFs() if proc is None else proc
    pids = set(listed)
    for who in device_holders(globs, procfs).holders:
        cgroup = procfs.cgroup(who.pid) or ""
        if not cgroup.endswith(".service"):
            pids.add(who.pid)
    return pids
