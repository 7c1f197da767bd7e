"""Moving processes between cgroups, safe against reused pids, and keeping cgroups frozen."""

from __future__ import annotations

from collections.abc import Iterable

from flopgate_agent.enforcement.calls import Notes, Tools
from flopgate_agent.enforcement.cgroups import Cgroup
from flopgate_agent.enforcement.outcome import FindingId
from flopgate_agent.enforcement.processes import ProcessId
from flopgate_proto.values import Severity


def own_cgroup(tools: Tools, lane_id: str, notes: Notes) -> Cgroup | None:
    """The lane's own cgroup, made if need be and frozen before anybody enters.

    ``None``, with a finding, where that does not work.
    """
    if tools.hierarchy is None:
        return None
    own = tools.hierarchy.lane(lane_id)
    try:
        own.create()
        own.set_frozen(frozen=True)
    except OSError as error:
        notes.add(
            FindingId.CGROUP_UNUSABLE,
            f"cannot use {own.path}: {error.strerror}; SIGSTOP is used instead",
        )
        return None
    return own


def keep_frozen(cgroup: Cgroup, notes: Notes, *, was_frozen: bool) -> None:
    """Freeze again a cgroup found thawed; a finding if it was ours and ``was_frozen``."""
    if was_frozen:
        notes.add(
            FindingId.CGROUP_THAWED,
            f"{cgroup.path} was thawed by somebody else since the last call; it is frozen again",
        )
    try:
        cgroup.set_frozen(frozen=True)
    except OSError as error:
        notes.add(
            FindingId.CGROUP_UNUSABLE,
            f"cannot freeze {cgroup.path}: {error.strerror}",
            severity=Severity.ALERT,
        )


def move_into(
    tools: Tools, target: Cgroup, origin: str, group: Iterable[ProcessId], notes: Notes
) -> list[ProcessId]:
    """Move living processes of ``group``; returns those alive that could not be moved."""
    unmoved = []
    for who in group:
        if not tools.proc.alive(who):
            continue
        try:
            target.add(who.pid)
        except ProcessLookupError:
            continue
        except OSError as error:
            unmoved.append(who)
            notes.add(
                FindingId.CGROUP_MOVE_FAILED,
                f"cannot be moved to {target.path}: {error.strerror}",
                pid=who.pid,
            )
            continue
        _undo_if_reused(tools, target, origin, who, notes)
    return unmoved


def _undo_if_reused(
    tools: Tools, target: Cgroup, origin: str, who: ProcessId, notes: Notes
) -> None:
    # The kernel takes a bare pid: if its owner changed just before, a stranger was moved.
    found = tools.proc.process(who.pid)
    if found is None or found.id == who or tools.hierarchy is None:
        return
    notes.add(FindingId.PID_REUSED, "the pid changed hands; its new owner is let go", pid=who.pid)
    if who.pid in target.pids():
        try:
            tools.hierarchy.at(origin).add(who.pid)
        except OSError as error:
            notes.add(
                FindingId.CGROUP_LEFT_BEHIND,
                f"a stranger stays in {target.path}: {error.strerror}; move it by hand",
                pid=who.pid,
                severity=Severity.ALERT,
            )
