"""Processes as ``/proc`` shows them: identity, state, threads, caught signals, cgroup.

A pid alone names nobody: it is reused. A process is its pid and its start time, and every
act on one checks both. Sources: proc(5), ``Documentation/filesystems/proc.rst``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_PF_KTHREAD = 0x0020_0000  # include/linux/sched.h; field 9 of stat
_CHUNK = 65_536
_MAX_READ = 16 * 1024 * 1024  # cgroup.procs of a very full host stays far below
_DEAD = frozenset("ZXx")
_STANDING = frozenset("TtZXx")
_SIGCGT = re.compile(rb"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)
_V2_CGROUP = re.compile(r"^0::(/.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ProcessId:
    """A process that no later one can be mistaken for, within one boot.

    Attributes:
        pid: 1 to 2**22.
        start_ticks: start time in clock ticks since boot (10 ms each); 0 or more.
    """

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One line of ``/proc/<pid>/stat``, as far as it matters here.

    Attributes:
        id: pid and start time.
        parent_pid: 0 for pid 1, kernel threads' root, and parents outside the pid namespace.
        session: session id: the pid of the session's leader, dead or alive.
        state: the main thread's state letter.
        threads: threads of the process, 1 or more.
        kernel: a kernel thread.
    """

    id: ProcessId
    parent_pid: int
    session: int
    state: str
    threads: int
    kernel: bool

    @property
    def exited(self) -> bool:
        """Nothing of it runs any more. A dead main thread can leave others running."""
        return self.state in _DEAD and self.threads <= 1

    @property
    def headless(self) -> bool:
        """Its main thread has exited and others run on: looks like a zombie and is none."""
        return self.state in _DEAD and self.threads > 1

    @property
    def stopped(self) -> bool:
        """Its main thread is stopped by a signal."""
        return self.state == "T"


def read_bytes(path: str) -> bytes | None:
    """Read a kernel file whole; ``None`` when it, or the process behind it, is gone or closed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = os.read(fd, _CHUNK)
        part = data
        while part and len(data) < _MAX_READ:
            part = os.read(fd, _CHUNK)
            data += part
    except OSError:
        return None
    finally:
        os.close(fd)
    return data


def parse_stat(data: bytes) -> Process | None:
    """Parse ``stat``; ``None`` for anything malformed, never an error."""
    # The name may hold spaces and brackets, so the fields start after the last bracket.
    head, bracket, tail = data.rpartition(b")")
    fields = tail.split()
    try:
        if not bracket or len(fields[0]) != 1:
            return None
        return Process(
            id=ProcessId(pid=int(head.split(b" ", 1)[0]), start_ticks=int(fields[19])),
            parent_pid=int(fields[1]),
            session=int(fields[3]),
            state=fields[0].decode("ascii"),
            threads=int(fields[17]),
            kernel=bool(int(fields[6]) & _PF_KTHREAD),
        )
    except (IndexError, ValueError):
        return None


class ProcFs:
    """A mounted procfs, or a directory that looks like one."""

    def __init__(self, root: str = "/proc") -> None:
        """Take ``root`` as the mount point."""
        self.root = root

    def process(self, pid: int) -> Process | None:
        """Look at one process; ``None`` when there is none."""
        data = read_bytes(f"{self.root}/{pid}/stat")
        return None if data is None else parse_stat(data)

    def alive(self, who: ProcessId) -> bool:
        """Whether exactly this process still runs (an exited, unreaped one does not)."""
        found = self.process(who.pid)
        return found is not None and found.id == who and not found.exited

    def owner(self, pid: int) -> int | None:
        """Effective user of a process, who may not be able to dump it; ``None`` without one."""
        try:
            return os.stat(f"{self.root}/{pid}").st_uid  # noqa: PTH116
        except OSError:
            return None

    def scan(self) -> dict[int, Process]:
        """Look at every process that has not exited. Not atomic: call again to be sure."""
        table: dict[int, Process] = {}
        for pid in self.pids():
            found = self.process(pid)
            if found is not None and not found.exited:
                table[pid] = found
        return table

    def pids(self) -> list[int]:
        """All pids at this moment."""
        with os.scandir(self.root) as entries:
            return [int(entry.name) for entry in entries if entry.name.isdecimal()]

    def threads(self, pid: int) -> list[int]:
        """Thread ids, empty when the process is gone."""
        try:
            with os.scandir(f"{self.root}/{pid}/task") as entries:
                return [int(entry.name) for entry in entries]
        except OSError:
            return []

    def thread_states(self, pid: int) -> str:
        """State letters of all threads, empty when the process is gone."""
        states = []
        for task in self.threads(pid):
            data = read_bytes(f"{self.root}/{pid}/task/{task}/stat")
            thread = None if data is None else parse_stat(data)
            if thread is not None:
                states.append(thread.state)
        return "".join(states)

    def standing(self, pid: int) -> bool:
        """Whether every thread is stopped or dead; a gone process stands."""
        return _STANDING.issuperset(self.thread_states(pid))

    def catches(self, pid: int, signum: int) -> bool:
        """Whether the process has a handler for ``signum``; unknown is ``False``."""
        match = _SIGCGT.search(read_bytes(f"{self.root}/{pid}/status") or b"")
        return match is not None and bool(int(match[1], 16) >> (signum - 1) & 1)

    def cgroup(self, pid: int) -> str | None:
        """The cgroup v2 path below the mount, ``None`` where it is unknown, deleted or hidden."""
        text = os.fsdecode(read_bytes(f"{self.root}/{pid}/cgroup") or b"")
        match = _V2_CGROUP.search(text)
        if match is None or match[1].endswith(" (deleted)") or ".." in match[1].split("/"):
            return None
        return match[1]
