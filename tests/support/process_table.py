"""Processes as the kernel tells them, made up."""

from __future__ import annotations

from flopgate_agent.enforcement.processes import Process, ProcessId


def process(
    pid: int, parent: int, *, session: int = 1, start: int | None = None, kernel: bool = False
) -> Process:
    return Process(
        id=ProcessId(pid=pid, start_ticks=pid if start is None else start),
        parent_pid=parent,
        session=session,
        state="S",
        threads=1,
        kernel=kernel,
    )


def table(*processes: Process) -> dict[int, Process]:
    return {one.id.pid: one for one in processes}


def pids(found: frozenset[ProcessId]) -> set[int]:
    return {who.pid for who in found}


def who(pid: int, start: int | None = None) -> ProcessId:
    return ProcessId(pid=pid, start_ticks=pid if start is None else start)
