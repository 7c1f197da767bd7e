"""What an enforcement call tells its caller: frozen values with stable finding ids."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from flopgate_proto.values import Severity


class Action(enum.StrEnum):
    """What was asked for."""

    FREEZE = "freeze"
    THAW = "thaw"
    KILL = "kill"
    NOTIFY = "notify"


class Mechanism(enum.StrEnum):
    """How processes were held. One call can need several."""

    CGROUP_OWN = "cgroup_own"
    """Moved into the lane's own cgroup v2, which is frozen."""
    CGROUP_IN_PLACE = "cgroup_in_place"
    """Frozen in the job cgroup they live in, which holds nothing else."""
    SIGNAL = "signal"
    """SIGSTOP, SIGCONT, SIGKILL or SIGUSR1, process by process."""


class FindingId(enum.StrEnum):
    """Stable ids, ``enforcement.<subject>.<event>``; never renamed, only added."""

    PID_PROTECTED = "enforcement.pid.protected"
    PID_REUSED = "enforcement.pid.reused"
    PID_IN_TWO_LANES = "enforcement.pid.in_two_lanes"
    PID_ESCAPED = "enforcement.pid.escaped"
    PID_RESUMED = "enforcement.pid.resumed_by_other"
    SIGNAL_DENIED = "enforcement.signal.denied"
    DEADLINE = "enforcement.call.deadline"
    CGROUP_UNUSABLE = "enforcement.cgroup.unusable"
    CGROUP_MOVE_FAILED = "enforcement.cgroup.move_failed"
    CGROUP_THAWED = "enforcement.cgroup.thawed_by_other"
    CGROUP_JOINED = "enforcement.cgroup.joined_by_other"
    CGROUP_ORIGIN_GONE = "enforcement.cgroup.origin_gone"
    CGROUP_LEFT_BEHIND = "enforcement.cgroup.left_behind"
    STATE_UNWRITABLE = "enforcement.state.unwritable"
    STATE_UNREADABLE = "enforcement.state.unreadable"
    RUNG_REFUSED = "enforcement.rung.refused"
    RUNG_NOT_IN_FORCE = "enforcement.rung.not_in_force"
    RUNG_UNDONE = "enforcement.rung.undone_by_other"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnforcementFinding:
    """One thing a person may need to know.

    Attributes:
        id: stable id.
        severity: how bad.
        pid: the process concerned, ``None`` when it is not about one process.
        detail: what happened and what to do, for people; stays on the host.
    """

    id: FindingId
    severity: Severity
    pid: int | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one call did.

    Attributes:
        lane_id: the lane.
        action: what was asked.
        mechanisms: how it was done, sorted; empty when there was nothing to do.
        done: pids that stand still (freeze), were released (thaw), are gone (kill) or were
            sent the signal (notify); sorted.
        resisted: pids for which that did not come true within the call; call again. Sorted.
        refused: given pids that are never touched (the gate, its ancestors, pid 1, kernel
            threads, protected children); sorted.
        findings: what a person may need to know, in order of appearance.
        elapsed_us: duration of the call, monotonic, 0 or more.
    """

    lane_id: str
    action: Action
    mechanisms: tuple[Mechanism, ...]
    done: tuple[int, ...]
    resisted: tuple[int, ...]
    refused: tuple[int, ...]
    findings: tuple[EnforcementFinding, ...]
    elapsed_us: int

    @property
    def complete(self) -> bool:
        """Whether nothing resisted and the call was not cut short by its bound."""
        return not self.resisted and all(f.id != FindingId.DEADLINE for f in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Which mechanisms work here, tried out at start.

    Attributes:
        cgroup_mount: mount point of the writable cgroup v2 hierarchy, ``None``: unusable.
        cgroup_kill: whether ``cgroup.kill`` exists (Linux 5.14).
        pidfd: whether signals go through pidfds (Linux 5.3).
        why_no_cgroup: the reason when ``cgroup_mount`` is ``None``, else ``None``.
    """

    cgroup_mount: str | None
    cgroup_kill: bool
    pidfd: bool
    why_no_cgroup: str | None
