"""Bring all processes of a lane to a stand, whatever they fork meanwhile.

Laws of a capture:
1. A process stands by one of three ways, tried in order: its cgroup is frozen where it is (the
   cgroup is a leaf that holds nothing but lane members); it is moved into the lane's own frozen
   cgroup; it gets SIGSTOP.
2. The record says so before the act, so a crash in between loses nobody.
3. Each pass first looks, then acts. The capture ends with a look that finds nobody loose and that
   began when all who got SIGSTOP stood: what stands cannot fork, so then there is no one left. A
   signal that was merely sent is not enough: a fork that had begun still ends, with a child.
4. A cgroup that holds strangers is never frozen, and let go as soon as strangers join it.
"""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Collection, Iterable

from flopgate_agent.enforcement.calls import Deadline, Notes, Tools
from flopgate_agent.enforcement.cgroups import Cgroup, Hierarchy
from flopgate_agent.enforcement.lanes import LaneRecord
from flopgate_agent.enforcement.moves import keep_frozen, move_into, own_cgroup
from flopgate_agent.enforcement.outcome import FindingId, Mechanism
from flopgate_agent.enforcement.processes import Process, ProcessId
from flopgate_agent.enforcement.signals import Sent
from flopgate_agent.enforcement.trees import members
from flopgate_proto.values import Severity

MAX_PASSES = 100
SETTLE_MS = 20
"""Time to come to a stand, also when finding the processes took the whole budget."""
_RUNNING = frozenset("RD")


class Capture:
    """One capture of one lane."""

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
        self._before = frozenset(lane.held)
        self._signalled: set[ProcessId] = set()
        self._elsewhere: set[ProcessId] = set()
        self._late: set[int] = set()
        self._table: dict[int, Process] = {}
        self.mechanisms: set[Mechanism] = set()
        self.denied: set[int] = set()

    def run(
        self,
        roots: Iterable[ProcessId],
        protected: frozenset[int],
        patience_ms: int | None = None,
    ) -> frozenset[ProcessId]:
        """Hold the trees of ``roots`` and all that was held before; returns who that is.

        ``patience_ms`` bounds each wait for those who got SIGSTOP, ``None`` leaves it to the
        deadline; whoever does not stand by then may have forked unseen.
        """
        lane, wanted = self._lane, frozenset(roots)
        family: frozenset[ProcessId] = frozenset()
        all_stood = True
        for number in range(MAX_PASSES):
            self._table = self._tools.proc.scan()
            lane.prune(frozenset(process.id for process in self._table.values()))
            family = members(self._table, wanted | lane.held | self._own_members(), protected)
            lane.held |= family
            self._keep_up(family)
            loose = self._loose(family)
            if not loose:
                if all_stood:
                    break
                self._late = self._wait_for_stand(patience_ms)
                if self._late:
                    break
                all_stood = True
                continue
            self._hold(loose, family)
            all_stood = not self._signalled
            if number == 0:
                self._deadline.at_least(SETTLE_MS)
            # Never before the second look: it alone can tell that the first act was enough.
            if number > 0 and self._deadline.over():
                self._notes.deadline("new processes kept appearing")
                break
        else:
            self._notes.deadline("new processes kept appearing")
        self._tools.save(lane, self._notes)
        return family | lane.held

    def settle(self) -> set[int]:
        """Wait until all that is held stands; returns the pids that do not in time."""
        self._deadline.at_least(SETTLE_MS)
        while True:
            running = self._running()
            if not running or not self._deadline.nap():
                break
        if running:
            self._notes.deadline("waiting for processes to stand still")
        # Who stood too late for the last look may have left a child that nobody saw.
        return running | self.denied | self._late

    def _wait_for_stand(self, patience_ms: int | None) -> set[int]:
        bound = self._deadline if patience_ms is None else Deadline(patience_ms)
        while (moving := self._moving()) and bound.nap():
            pass
        return moving

    def _moving(self) -> set[int]:
        proc = self._tools.proc
        # By identity: whoever got the pid of one that died is not waited for.
        return {
            who.pid
            for who in self._signalled
            if not proc.standing(who.pid) and proc.alive(who) and who.pid not in self.denied
        }

    def _running(self) -> set[int]:
        proc = self._tools.proc
        running = self._moving()
        own = self._tools.own(self._lane.lane_id)
        cgroups = list(self._tools.in_place(self._lane).values()) + ([own] if own else [])
        for cgroup in cgroups:
            pids = cgroup.pids()
            if not pids or cgroup.frozen():
                continue
            busy = {pid for pid in pids if not _RUNNING.isdisjoint(proc.thread_states(pid))}
            running |= busy or set(pids)
        return running

    def _own_members(self) -> set[ProcessId]:
        own = self._tools.own(self._lane.lane_id)
        pids = () if own is None else own.pids()
        return {self._table[pid].id for pid in pids if pid in self._table}

    def _loose(self, family: frozenset[ProcessId]) -> list[ProcessId]:
        standing: set[int] = set()
        own = self._tools.own(self._lane.lane_id)
        if own is not None and own.freeze_asked():
            standing.update(own.pids())
            self.mechanisms.add(Mechanism.CGROUP_OWN)
        for cgroup in self._tools.in_place(self._lane).values():
            standing.update(cgroup.pids())
            self.mechanisms.add(Mechanism.CGROUP_IN_PLACE)
        settled = self._signalled | self._elsewhere
        return sorted(who for who in family if who.pid not in standing and who not in settled)

    def _keep_up(self, family: frozenset[ProcessId]) -> None:
        """Check what earlier passes and calls froze: still frozen, still without strangers."""
        own = self._tools.own(self._lane.lane_id)
        if own is not None and not own.freeze_asked():
            known = any(who.pid in own.pids() for who in self._before)
            keep_frozen(own, self._notes, was_frozen=known)
        for path, cgroup in self._tools.in_place(self._lane).items():
            if not cgroup.exists():
                del self._lane.in_place[path]
            elif not self._exclusive(cgroup, family):
                self._leave(path, cgroup, family)
            elif not cgroup.freeze_asked():
                keep_frozen(cgroup, self._notes, was_frozen=True)

    def _exclusive(self, cgroup: Cgroup, family: frozenset[ProcessId]) -> bool:
        ours = {who.pid for who in family}
        pids = cgroup.pids()
        if ours.issuperset(pids):
            return True
        # Strangers may be children born since the table was made: look at them alone.
        proc = self._tools.proc
        late = {pid: found for pid in pids if (found := proc.process(pid)) and not found.exited}
        kin = members(late, family, frozenset())
        return {found.id for found in late.values()} <= kin and 0 not in pids

    def _leave(self, path: str, cgroup: Cgroup, family: frozenset[ProcessId]) -> None:
        """Strangers joined a job cgroup that we froze: take our own out, let the rest run."""
        self._notes.add(
            FindingId.CGROUP_JOINED,
            f"processes outside the lane joined {path}; the lane's own are moved out, so that "
            "the others go on",
            severity=Severity.INFO,
        )
        inside = set(cgroup.pids())
        self._move(path, [who for who in family if who.pid in inside])
        was_frozen = self._lane.in_place.pop(path)
        if not was_frozen and not any(path in other.in_place for other in self._others):
            try:
                cgroup.set_frozen(frozen=False)
            except OSError as error:
                self._lane.in_place[path] = was_frozen
                self._notes.add(FindingId.CGROUP_UNUSABLE, f"cannot thaw {path}: {error}")

    def _hold(self, loose: list[ProcessId], family: frozenset[ProcessId]) -> None:
        hierarchy = self._tools.hierarchy
        by_path: dict[str | None, list[ProcessId]] = defaultdict(list)
        for who in loose:
            by_path[self._tools.proc.cgroup(who.pid)].append(who)
        for path, group in sorted(by_path.items(), key=lambda item: item[0] or ""):
            if hierarchy is None or path is None:
                self._stop(group)
                continue
            if self._held_by_other(hierarchy, path, group):
                continue
            self._note_escapes(group)
            if not self._take_in_place(hierarchy, path, family):
                self._move(path, group)

    def _note_escapes(self, group: list[ProcessId]) -> None:
        for who in group:
            if who in self._before and who not in self._lane.stopped:
                self._notes.add(
                    FindingId.PID_ESCAPED,
                    "left its frozen cgroup since the last call; it is taken again",
                    pid=who.pid,
                )

    def _held_by_other(self, hierarchy: Hierarchy, path: str, group: list[ProcessId]) -> bool:
        if not hierarchy.owns(path) or not hierarchy.at(path).freeze_asked():
            return False
        for who in group:
            self._notes.add(
                FindingId.PID_IN_TWO_LANES,
                "also belongs to another lane, which holds it frozen",
                pid=who.pid,
                severity=Severity.INFO,
            )
        self._elsewhere.update(group)
        return True

    def _take_in_place(self, hierarchy: Hierarchy, path: str, family: frozenset[ProcessId]) -> bool:
        cgroup = hierarchy.at(path)
        if path == "/" or hierarchy.owns(path) or not cgroup.is_leaf():
            return False
        if not cgroup.pids() or not self._exclusive(cgroup, family):
            return False
        shared = [other.in_place[path] for other in self._others if path in other.in_place]
        self._lane.in_place[path] = shared[0] if shared else cgroup.freeze_asked()
        self._tools.save(self._lane, self._notes)
        try:
            cgroup.set_frozen(frozen=True)
        except OSError as error:
            del self._lane.in_place[path]
            self._notes.add(FindingId.CGROUP_UNUSABLE, f"cannot freeze {path}: {error}")
            return False
        # Who is inside now was there, or was forked by those there, when it froze.
        now = (self._tools.proc.process(pid) for pid in cgroup.pids())
        self._lane.held.update(found.id for found in now if found is not None)
        return True

    def _move(self, path: str, group: list[ProcessId]) -> None:
        # The kernel moves the living threads of a headless process but lists it where its main
        # thread died: it would look escaped for ever.
        headless = [who for who in group if self._table[who.pid].headless]
        if headless:
            self._stop(headless)
            group = [who for who in group if who not in headless]
        own = own_cgroup(self._tools, self._lane.lane_id, self._notes) if group else None
        if own is None:
            self._stop(group)
            return
        for who in group:
            self._lane.origins.setdefault(who, path)
        self._tools.save(self._lane, self._notes)
        unmoved = move_into(self._tools, own, path, group, self._notes)
        self._stop(unmoved)

    def _stop(self, group: Iterable[ProcessId]) -> None:
        targets = list(group)
        for who in targets:
            self._lane.origins.pop(who, None)
            seen = self._table.get(who.pid)
            stopped = seen is not None and seen.id == who and seen.stopped
            if who not in self._lane.stopped:
                # Stopped by another lane is stopped by us, and ours to continue in the end.
                shared = [o.stopped[who] for o in self._others if who in o.stopped]
                self._lane.stopped[who] = shared[0] if shared else stopped
            elif not stopped:
                self._lane.stopped[who] = False
                self._notes.add(
                    FindingId.PID_RESUMED,
                    "was continued by somebody else since the last call; it is stopped again",
                    pid=who.pid,
                )
        self._tools.save(self._lane, self._notes)
        for who in targets:
            self._signalled.add(who)
            self.mechanisms.add(Mechanism.SIGNAL)
            if self._tools.signaller.send(who, signal.SIGSTOP) is Sent.DENIED:
                self.denied.add(who.pid)
                self._notes.add(
                    FindingId.SIGNAL_DENIED,
                    "may not be signalled; the gate needs root or CAP_KILL",
                    pid=who.pid,
                    severity=Severity.ALERT,
                )
