"""What one call carries through the modules: its time bound, its findings, its tools."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flopgate_agent.enforcement.cgroups import Cgroup, Hierarchy
from flopgate_agent.enforcement.lanes import Journal, LaneRecord
from flopgate_agent.enforcement.outcome import EnforcementFinding, FindingId
from flopgate_agent.enforcement.processes import ProcFs
from flopgate_agent.enforcement.signals import Signaller
from flopgate_proto.values import Severity

_NAP_S = 0.001
MAX_FINDINGS = 64  # per call; a lane of thousands must not flood the report


class Deadline:
    """A bound on waiting and re-scanning, not on the first pass, which is always made."""

    def __init__(self, budget_ms: int) -> None:
        """Start now; ``budget_ms`` 0 or more."""
        self._start_ns = time.monotonic_ns()
        self._end_ns = self._start_ns + budget_ms * 1_000_000

    def over(self) -> bool:
        """Whether the bound has passed."""
        return time.monotonic_ns() >= self._end_ns

    def at_least(self, more_ms: int) -> None:
        """Put the bound off, if need be, to ``more_ms`` from now."""
        self._end_ns = max(self._end_ns, time.monotonic_ns() + more_ms * 1_000_000)

    def nap(self) -> bool:
        """Sleep a moment; ``False``, at once, when the bound has passed."""
        if self.over():
            return False
        time.sleep(_NAP_S)
        return True

    def elapsed_us(self) -> int:
        """Time since the start."""
        return (time.monotonic_ns() - self._start_ns) // 1000


class Notes:
    """Findings of one call, each (id, pid) once, at most ``MAX_FINDINGS``."""

    def __init__(self) -> None:
        """Start empty."""
        self._found: dict[tuple[FindingId, int | None], EnforcementFinding] = {}

    def add(
        self,
        what: FindingId,
        detail: str,
        *,
        pid: int | None = None,
        severity: Severity = Severity.WARNING,
    ) -> None:
        """Note something once."""
        if len(self._found) < MAX_FINDINGS:
            note = EnforcementFinding(id=what, severity=severity, pid=pid, detail=detail)
            self._found.setdefault((what, pid), note)

    def deadline(self, doing: str) -> None:
        """Note that the call ended before its work was done."""
        self.add(
            FindingId.DEADLINE,
            f"the call's time bound passed while {doing}; call again",
            severity=Severity.ALERT,
        )

    def findings(self) -> tuple[EnforcementFinding, ...]:
        """All findings in order of appearance."""
        return tuple(self._found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the modules work with.

    Attributes:
        proc: procfs.
        hierarchy: cgroup v2, ``None`` where it cannot be used.
        signaller: sends signals.
        journal: remembers what was done, across a restart of the gate.
    """

    proc: ProcFs
    hierarchy: Hierarchy | None
    signaller: Signaller
    journal: Journal

    def own(self, lane_id: str) -> Cgroup | None:
        """The lane's own cgroup if it exists."""
        if self.hierarchy is None:
            return None
        cgroup = self.hierarchy.lane(lane_id)
        return cgroup if cgroup.exists() else None

    def in_place(self, lane: LaneRecord) -> dict[str, Cgroup]:
        """The job cgroups frozen where they are, by path."""
        if self.hierarchy is None:
            return {}
        return {path: self.hierarchy.at(path) for path in lane.in_place}

    def save(self, lane: LaneRecord, notes: Notes) -> None:
        """Write the record down before acting on it; a full disk must not stop the stopping."""
        try:
            self.journal.save(lane)
        except OSError as error:
            notes.add(
                FindingId.STATE_UNWRITABLE,
                f"cannot write {error.filename}: {error.strerror}; after a restart the gate will "
                "not know how to thaw this lane; free the disk or fix the permissions",
                severity=Severity.ALERT,
            )
