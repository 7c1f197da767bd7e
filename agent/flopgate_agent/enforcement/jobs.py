"""Whose processes a lane's are: its name, and all that must end when it must."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from flopgate_agent.enforcement.devices import device_holders
from flopgate_agent.enforcement.processes import ProcFs

OF_USERS: Final = frozenset({"user.slice", "machine.slice"})
"""What runs there as a service is a user's or a guest's own."""


def lane_id(workload: str) -> str:
    """Name of a lane that is fit for a directory and stays the same over restarts."""
    return hashlib.sha256(workload.encode()).hexdigest()[:16]


def is_system_service(cgroup: str | None) -> bool:
    """Whether a cgroup, as ``/proc/<pid>/cgroup`` names it, is that of a service of the host.

    Every folder above it is a slice of the host's own: users, containers and guests name folders
    of their own as they like, services among them.
    """
    *slices, name = (cgroup or "").strip("/").split("/")
    return name.endswith(".service") and all(
        one.endswith(".slice") and one not in OF_USERS for one in slices
    )


def job_pids(listed: Iterable[int], globs: Sequence[str], proc: ProcFs | None = None) -> set[int]:
    """The driver's list, and whoever holds a device node open without standing in it.

    A system service that holds one (nvidia-persistenced) does no work of a job: left alone.
    """
    procfs = ProcFs() if proc is None else proc
    pids = set(listed)
    for who in device_holders(globs, procfs).holders:
        if not is_system_service(procfs.cgroup(who.pid)):
            pids.add(who.pid)
    return pids
