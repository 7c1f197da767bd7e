"""Let a lane go: put everything back as it was found.

Moved processes go back to the cgroup they came from, because their scheduler or container
runtime accounts for them and ends them by that cgroup; left in the lane's, they would outlive
their job unseen. Where it is gone they stay in the lane's own cgroup, thawed.
"""

from __future__ import annotations

import signal
from collections.abc import Collection

from flopgate_agent.enforcement.calls import Deadline, Notes, Tools
from flopgate_agent.enforcement.cgroups import Cgroup, Hierarchy
from flopgate_agent.enforcement.lanes import LaneRecord
from flopgate_agent.enforcement.moves import own_cgroup
from flopgate_agent.enforcement.outcome import FindingId, Mechanism
from flopgate_agent.enforcement.processes import ProcessId
from flopgate_agent.enforcement.signals import Sent
from flopgate_proto.values import Severity

MAX_PASSES = 100


class Release:
    """One release of one lane."""

    def __init__(
        self,
        tools: Tools,
        lane: LaneRecord,
        others: Collection[LaneRecord],
        deadline: Deadline,
        notes: Notes,
    ) -> None:
        """``others`` are the records of all other lanes held at this moment."""
        self._tools = tools
        self._lane = lane
        self._others = others
        self._deadline = deadline
        self._notes = notes
        self.mechanisms: set[Mechanism] = set()
        self.released: set[int] = set()
        self.resisted: set[int] = set()

    def run(self) -> None:
        """Release all; the results are in the attributes."""
        own = self._tools.own(self._lane.lane_id)
        if own is not None and self._tools.hierarchy is not None:
            self._empty(self._tools.hierarchy, own)
        self.thaw_in_place()
        for who, was_stopped in self._lane.stopped.items():
            self._continue(who, was_stopped=was_stopped)
        if self._tools.hierarchy is None and (self._lane.origins or self._lane.in_place):
            self._stuck({who.pid for who in self._lane.held if self._tools.proc.alive(who)})

    def thaw_in_place(self) -> None:
        """Thaw the job cgroups, unless another lane or somebody else holds them."""
        for path, cgroup in self._tools.in_place(self._lane).items():
            if self._lane.in_place[path] or any(path in other.in_place for other in self._others):
                continue
            self.mechanisms.add(Mechanism.CGROUP_IN_PLACE)
            self._thaw(cgroup)

    def _thaw(self, cgroup: Cgroup) -> None:
        pids = set(cgroup.pids())
        try:
            cgroup.set_frozen(frozen=False)
        except FileNotFoundError:
            return
        except OSError as error:
            self._stuck(pids, f"{cgroup.path}: {error.strerror}")
        else:
            self.released |= pids

    def _stuck(self, pids: set[int], why: str = "cgroup v2 is not usable now") -> None:
        self.resisted |= pids
        self._notes.add(
            FindingId.CGROUP_UNUSABLE,
            f"cannot thaw what was frozen by cgroup ({why})",
            severity=Severity.ALERT,
        )

    def _empty(self, hierarchy: Hierarchy, own: Cgroup) -> None:
        left: set[int] = set()
        for _ in range(MAX_PASSES):
            pids = set(own.pids()) - left
            if not pids:
                break
            self.mechanisms.add(Mechanism.CGROUP_OWN)
            for pid in sorted(pids):
                if not self._put_back(hierarchy, own, pid):
                    left.add(pid)
            if self._deadline.over():
                break
        self._thaw(own)
        own.remove()
        hierarchy.base.remove()

    def _put_back(self, hierarchy: Hierarchy, own: Cgroup, pid: int) -> bool:
        found = self._tools.proc.process(pid)
        if found is None or found.exited:
            return True
        origin = self._origin(found.id)
        heir = next((other for other in self._others if found.id in other.held), None)
        if heir is not None:
            target = own_cgroup(self._tools, heir.lane_id, self._notes)
            if origin is not None:
                heir.origins.setdefault(found.id, origin)
            self._tools.save(heir, self._notes)
        else:
            target = None if origin is None else hierarchy.at(origin)
        try:
            if target is not None:
                target.add(pid)
        except ProcessLookupError:
            return True
        except OSError:
            target = None
        if target is None:
            self._notes.add(
                FindingId.CGROUP_ORIGIN_GONE,
                f"its cgroup of before is gone or unknown; it runs on in {own.path}",
                pid=pid,
            )
            return False
        if heir is None:
            self.released.add(pid)
        return True

    def _origin(self, who: ProcessId) -> str | None:
        """Where it was, or for one born in the lane's cgroup, where its forefathers were."""
        pid = who.pid
        by_pid = {known.pid: path for known, path in self._lane.origins.items()}
        for _ in range(len(by_pid) + 1):
            if pid in by_pid:
                return by_pid[pid]
            found = self._tools.proc.process(pid)
            if found is None:
                break
            pid = found.parent_pid
        # An orphan: all but a handful of lanes have one origin.
        return next(iter(by_pid.values()), None)

    def _continue(self, who: ProcessId, *, was_stopped: bool) -> None:
        if was_stopped or any(who in other.held for other in self._others):
            return
        self.mechanisms.add(Mechanism.SIGNAL)
        sent = self._tools.signaller.send(who, signal.SIGCONT)
        if sent is Sent.SENT:
            self.released.add(who.pid)
        elif sent is Sent.DENIED:
            self.resisted.add(who.pid)
            self._notes.add(
                FindingId.SIGNAL_DENIED,
                "may not be signalled; the gate needs root or CAP_KILL",
                pid=who.pid,
                severity=Severity.ALERT,
            )
