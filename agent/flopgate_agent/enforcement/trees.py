"""Who belongs to a lane, and who is never touched. Pure functions over a process table.

A process belongs to a lane when its descent from a root is proven: by parents, or by its
session, which is inherited by fork only, so that it names a forefather whose child was
orphaned. Anything else is somebody else's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from flopgate_agent.enforcement.processes import Process, ProcessId

INIT_PID = 1

Table = Mapping[int, Process]


def forefathers(look: Callable[[int], Process | None], pid: int) -> frozenset[int]:
    """``pid`` and all its forefathers, as far as ``look`` can see them."""
    seen: set[int] = set()
    while pid > 0 and pid not in seen:
        seen.add(pid)
        process = look(pid)
        pid = 0 if process is None else process.parent_pid
    return frozenset(seen)


def protected_pids(
    look: Callable[[int], Process | None], gate_pid: int, also: Iterable[ProcessId]
) -> frozenset[int]:
    """Pids never to touch: init, the gate, its forefathers, and ``also`` while they live.

    Kernel threads are not among them: ``members`` leaves them out by their flag.
    """
    extra = {who.pid for who in also if (found := look(who.pid)) and found.id == who}
    return forefathers(look, gate_pid) | extra | {INIT_PID}


def members(
    table: Table, roots: Iterable[ProcessId], protected: frozenset[int]
) -> frozenset[ProcessId]:
    """All living processes of the trees below ``roots``, the roots included.

    Protected ones and kernel threads are left out, and the search does not pass through them.
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
        if pid in protected or process.kernel or process.id in found:
            continue
        found.add(process.id)
        kin = list(children[pid])
        if process.session == pid:
            kin += sessions[pid]
        # A child older than its parent is a stranger: the table saw the pid's former owner.
        todo += [other for other in kin if other.id.start_ticks >= process.id.start_ticks]
    return frozenset(found)
