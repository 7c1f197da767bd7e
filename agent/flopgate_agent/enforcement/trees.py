"""Who belongs to a lane, and who is never touched. Pure functions over a process table.

A process belongs to a lane when its descent from a root is proven: by parents, or by its
session, which is inherited by fork only, so that it names a forefather whose child was
orphaned. Anything else is somebody else's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from flopgate_agent.enforcement.processes import Process, ProcessId

INIT_PID = 1

Table = Mapping[int, Process]


def ancestors(table: Table, pid: int) -> frozenset[int]:
    """``pid`` and all its forefathers as far as the table knows them."""
    seen: set[int] = set()
    while pid > 0 and pid not in seen:
        seen.add(pid)
        process = table.get(pid)
        pid = 0 if process is None else process.parent_pid
    return frozenset(seen)


def protected_pids(table: Table, gate_pid: int, also: Iterable[ProcessId]) -> frozenset[int]:
    """Pids never to touch: init, the gate, its ancestors, kernel threads and ``also``."""
    kernel = {pid for pid, process in table.items() if process.kernel}
    extra = {who.pid for who in also if (found := table.get(who.pid)) and found.id == who}
    return ancestors(table, gate_pid) | kernel | extra | {INIT_PID}


def members(
    table: Table, roots: Iterable[ProcessId], protected: frozenset[int]
) -> frozenset[ProcessId]:
    """All living processes of the trees below ``roots``, the roots included.

    Protected ones are left out, and the search does not pass through them.
    """
    children: dict[int, list[Process]] = defaultdict(list)
    sessions: dict[int, list[Process]] = defaultdict(list)
    for process in table.values():
        children[process.parent_pid].append(process)
        sessions[process.session].append(process)
    found: set[ProcessId] = set()
    todo = [table[who.pid] for who in roots if who.pid in table and table[who.pid].id == who]
    while todo:
        process = todo.pop()
        pid = process.id.pid
        if pid in protected or process.id in found:
            continue
        found.add(process.id)
        kin = list(children[pid])
        if process.session == pid:
            kin += sessions[pid]
        # A child older than its parent is a stranger: the table saw the pid's former owner.
        todo += [other for other in kin if other.id.start_ticks >= process.id.start_ticks]
    return frozenset(found)
