"""The one door to stopping: freeze, thaw, kill and notify lanes, and adopt after a restart.

Synchronous and bounded: each call makes at least one full pass over its processes, then waits
and re-scans no longer than its budget. What did not come true is in ``Outcome.resisted``, and
the same call again goes on from there: freeze, thaw and kill are idempotent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from flopgate_agent.clocks import read_boot_id
from flopgate_agent.enforcement.calls import Deadline, Notes, Tools
from flopgate_agent.enforcement.capture import SETTLE_MS, Capture
from flopgate_agent.enforcement.lanes import (
    Journal,
    JournalError,
    LaneRecord,
    check_lane_id,
    is_lane_id,
)
from flopgate_agent.enforcement.outcome import (
    Action,
    EnforcementFinding,
    FindingId,
    Mechanism,
    Outcome,
)
from flopgate_agent.enforcement.probing import EnforcerConfig, probe_host
from flopgate_agent.enforcement.processes import ProcessId, ProcFs
from flopgate_agent.enforcement.release import Release
from flopgate_agent.enforcement.signals import Sent, Signaller
from flopgate_agent.enforcement.trees import protected_pids
from flopgate_proto.values import Severity

DEATH_MS = 50
"""Time to die after SIGKILL, also when finding the processes took the whole budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptedLane:
    """A lane that a gate before this one left held.

    Attributes:
        lane_id: the lane.
        pids: its living processes, sorted; empty when only a damaged record is left.
        standing: those that stand still now, sorted.
        findings: damaged records.
    """

    lane_id: str
    pids: tuple[int, ...]
    standing: tuple[int, ...]
    findings: tuple[EnforcementFinding, ...]


class Enforcer:
    """Stops and releases the processes of lanes. Not thread-safe: one owner, one thread."""

    def __init__(self, config: EnforcerConfig) -> None:
        """Probe what works here; nothing is stopped or released yet."""
        self._config = config
        self._proc = ProcFs()
        self.capabilities, hierarchy = probe_host(config)
        # Spelt as the kernel does: an upgrade finds whom the version before held.
        boot_id = str(UUID(bytes=read_boot_id()))
        self._tools = Tools(
            proc=self._proc,
            hierarchy=hierarchy,
            signaller=Signaller(self._proc, pidfd=self.capabilities.pidfd),
            journal=Journal(config.state_dir, boot_id, config.notice_dir),
        )
        self._lanes: dict[str, LaneRecord] = {}
        self._protected: frozenset[ProcessId] = frozenset()

    def protect(self, pids: Iterable[int]) -> None:
        """Never touch these either (the sampler child); replaces the set of the call before."""
        found = (self._proc.process(pid) for pid in pids)
        self._protected = frozenset(process.id for process in found if process is not None)

    def freeze(self, lane_id: str, pids: Iterable[int | ProcessId]) -> Outcome:
        """Bring ``pids``, their descendants and all held before to a stand.

        Call it again for as long as the lane must stand: it picks up what is new and what
        somebody else woke. A ``ProcessId`` is skipped if its pid changed hands.

        Raises:
            ValueError: ``lane_id`` is not a lane id.
        """
        deadline, notes = Deadline(self._config.budget_ms), Notes()
        lane = self._lane(lane_id, notes)
        roots, refused, protected = self._resolve(pids, notes)
        capture = Capture(self._tools, lane, self._others(lane_id), deadline, notes)
        family = capture.run(roots, protected)
        resisted = capture.settle()
        if not family:
            # A job's cgroup must not stay frozen after the last of its processes.
            Release(self._tools, lane, self._others(lane_id), deadline, notes).run()
            self._forget(lane_id)
        return Outcome(
            lane_id=lane_id,
            action=Action.FREEZE,
            mechanisms=_sorted(capture.mechanisms),
            done=tuple(sorted({who.pid for who in family} - resisted)),
            resisted=tuple(sorted(resisted)),
            refused=refused,
            findings=notes.findings(),
            elapsed_us=deadline.elapsed_us(),
        )

    def thaw(self, lane_id: str) -> Outcome:
        """Put the lane back as it was found; nothing happens to a lane that is not held.

        Raises:
            ValueError: ``lane_id`` is not a lane id.
        """
        deadline, notes = Deadline(self._config.budget_ms), Notes()
        lane = self._lane(lane_id, notes)
        release = Release(self._tools, lane, self._others(lane_id), deadline, notes)
        release.run()
        if not release.resisted:
            self._forget(lane_id)
        return Outcome(
            lane_id=lane_id,
            action=Action.THAW,
            mechanisms=_sorted(release.mechanisms),
            done=tuple(sorted(release.released - release.resisted)),
            resisted=tuple(sorted(release.resisted)),
            refused=(),
            findings=notes.findings(),
            elapsed_us=deadline.elapsed_us(),
        )

    def kill(self, lane_id: str, pids: Iterable[int | ProcessId]) -> Outcome:
        """End ``pids``, their descendants and all that is held of the lane.

        They are frozen first, so that nothing forks away. A process inside a driver call can
        outlive the call; it stays held and is in ``resisted``.

        Raises:
            ValueError: ``lane_id`` is not a lane id.
        """
        deadline, notes = Deadline(self._config.kill_budget_ms), Notes()
        lane = self._lane(lane_id, notes)
        others = self._others(lane_id)
        roots, refused, protected = self._resolve(pids, notes)
        capture = Capture(self._tools, lane, others, deadline, notes)
        victims: set[ProcessId] = set()
        while True:
            # Who hangs in the kernel is not waited for longer: SIGKILL ends its fork, too.
            victims |= capture.run(roots, protected, patience_ms=SETTLE_MS)
            living = [who for who in sorted(victims) if self._proc.alive(who)]
            if not living:
                break
            self._strike(lane, living, capture)
            deadline.at_least(DEATH_MS)
            while living and deadline.nap():
                living = [who for who in living if self._proc.alive(who)]
            if living or deadline.over():
                break
        living = [who for who in living if self._proc.alive(who)]
        if living:
            notes.deadline("waiting for processes to die")
        else:
            Release(self._tools, lane, others, deadline, notes).run()
            self._forget(lane_id)
        left = {who.pid for who in living}
        return Outcome(
            lane_id=lane_id,
            action=Action.KILL,
            mechanisms=_sorted(capture.mechanisms),
            done=tuple(sorted({who.pid for who in victims} - left)),
            resisted=tuple(sorted(left)),
            refused=refused,
            findings=notes.findings(),
            elapsed_us=deadline.elapsed_us(),
        )

    def notify(self, lane_id: str, pids: Iterable[int | ProcessId], time_left_ms: int) -> Outcome:
        """Tell processes that they will be stopped in ``time_left_ms`` (0 or more).

        SIGUSR1 goes to each of ``pids`` that has a handler for it (without one it would die),
        not to its descendants. Until when, stands in the lane's notice file.

        Raises:
            ValueError: ``lane_id`` is not a lane id.
        """
        deadline, notes = Deadline(self._config.budget_ms), Notes()
        check_lane_id(lane_id)
        roots, refused, protected = self._resolve(pids, notes)
        until_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000 + time_left_ms
        try:
            self._tools.journal.write_notice(lane_id, until_ms)
        except OSError as error:
            notes.add(FindingId.STATE_UNWRITABLE, f"cannot write the notice: {error.strerror}")
        done, resisted = set(), set()
        for who in sorted(roots):
            if who.pid in protected or not self._proc.catches(who.pid, signal.SIGUSR1):
                continue
            sent = self._tools.signaller.send(who, signal.SIGUSR1)
            if sent is Sent.SENT:
                done.add(who.pid)
            elif sent is Sent.DENIED:
                resisted.add(who.pid)
        return Outcome(
            lane_id=lane_id,
            action=Action.NOTIFY,
            mechanisms=(Mechanism.SIGNAL,) if done else (),
            done=tuple(sorted(done)),
            resisted=tuple(sorted(resisted)),
            refused=refused,
            findings=notes.findings(),
            elapsed_us=deadline.elapsed_us(),
        )

    def frozen_pids(self, lane_id: str) -> tuple[int, ...]:
        """Processes of the lane that stand still right now, sorted.

        Raises:
            ValueError: ``lane_id`` is not a lane id.
        """
        lane = self._lanes.get(check_lane_id(lane_id), LaneRecord(lane_id=lane_id))
        return self._standing(lane)

    def held_elsewhere(self, lane_id: str) -> bool:
        """Whether somebody else wrote down since that he holds a lane that is not held here."""
        return lane_id not in self._lanes and self._tools.journal.has(lane_id)

    def adopt(self) -> tuple[AdoptedLane, ...]:
        """Find what a gate before this one left held, so that nothing stays so for ever.

        Call once at start. Lanes of which nothing lives are cleaned up and not returned; the
        others can be frozen again, thawed or killed by their id as if this gate had held them.
        """
        adopted = []
        hierarchy = self._tools.hierarchy
        named = set(self._tools.journal.lane_ids())
        named |= set() if hierarchy is None else set(hierarchy.lane_ids())
        for lane_id in sorted(name for name in named if is_lane_id(name)):
            notes = Notes()
            lane = self._lane(lane_id, notes)
            own = self._tools.own(lane_id)
            inside = [self._proc.process(pid) for pid in (own.pids() if own else ())]
            lane.held |= {process.id for process in inside if process is not None}
            living = sorted(who.pid for who in lane.held if self._proc.alive(who))
            findings = notes.findings()
            if living or findings:
                adopted.append(
                    AdoptedLane(
                        lane_id=lane_id,
                        pids=tuple(living),
                        standing=self._standing(lane),
                        findings=findings,
                    )
                )
            else:
                Release(self._tools, lane, (), Deadline(0), notes).run()
                self._forget(lane_id)
        return tuple(adopted)

    def _lane(self, lane_id: str, notes: Notes) -> LaneRecord:
        if lane_id not in self._lanes:
            check_lane_id(lane_id)
            try:
                found = self._tools.journal.load(lane_id)
            except JournalError as error:
                found = None
                notes.add(
                    FindingId.STATE_UNREADABLE,
                    f"{error}; processes stopped by signal before may stay stopped: look for "
                    "state T in ps and send them SIGCONT",
                    severity=Severity.ALERT,
                )
            self._lanes[lane_id] = LaneRecord(lane_id=lane_id) if found is None else found
        return self._lanes[lane_id]

    def _others(self, lane_id: str) -> list[LaneRecord]:
        return [lane for name, lane in self._lanes.items() if name != lane_id]

    def _forget(self, lane_id: str) -> None:
        self._lanes.pop(lane_id, None)
        self._tools.journal.forget(lane_id)

    def _standing(self, lane: LaneRecord) -> tuple[int, ...]:
        own = self._tools.own(lane.lane_id)
        cgroups = [*self._tools.in_place(lane).values(), *([own] if own else [])]
        pids = {pid for cgroup in cgroups if cgroup.frozen() for pid in cgroup.pids()}
        stopped = {w.pid for w in lane.stopped if self._proc.alive(w)}
        return tuple(sorted(pids | {pid for pid in stopped if self._proc.standing(pid)}))

    def _resolve(
        self, pids: Iterable[int | ProcessId], notes: Notes
    ) -> tuple[frozenset[ProcessId], tuple[int, ...], frozenset[int]]:
        protected = protected_pids(self._proc.process, os.getpid(), self._protected)
        roots: set[ProcessId] = set()
        refused: set[int] = set()
        for given in pids:
            pid = given.pid if isinstance(given, ProcessId) else given
            found = self._proc.process(pid)
            if found is None:
                continue
            if isinstance(given, ProcessId) and found.id != given:
                notes.add(
                    FindingId.PID_REUSED,
                    "the pid changed hands; its new owner is left alone",
                    pid=pid,
                    severity=Severity.INFO,
                )
            elif pid in protected or found.kernel:
                refused.add(pid)
                notes.add(
                    FindingId.PID_PROTECTED,
                    "is the gate, one of its own, an ancestor, init or the kernel; left alone",
                    pid=pid,
                    severity=Severity.INFO,
                )
            else:
                roots.add(found.id)
        return frozenset(roots), tuple(sorted(refused)), protected

    def _strike(self, lane: LaneRecord, living: list[ProcessId], capture: Capture) -> None:
        own = self._tools.own(lane.lane_id)
        if own is not None and self.capabilities.cgroup_kill:
            # Each of them gets SIGKILL below as well.
            with contextlib.suppress(OSError):
                own.kill()
        for who in living:
            # By identity and not by the job's cgroup: whoever joined that a moment ago lives.
            if self._tools.signaller.send(who, signal.SIGKILL) is Sent.DENIED:
                capture.denied.add(who.pid)


def _sorted(mechanisms: set[Mechanism]) -> tuple[Mechanism, ...]:
    return tuple(sorted(mechanisms))
