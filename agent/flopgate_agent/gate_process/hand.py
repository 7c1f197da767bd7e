"""Carries out what the core decided upon processes: lanes become ids, chips become device nodes."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.enforcement import Enforcer, FindingId, Outcome
from flopgate_agent.enforcement.chips import ChipLimits, Fact, State, Wish
from flopgate_agent.enforcement.jobs import job_pids, lane_id
from flopgate_agent.gate.actions import Deny, Freeze, Kill, Move, Notify, Restore, Slow, Thaw
from flopgate_agent.gate_process.announcing import Announcer
from flopgate_agent.logs import FIELDS
from flopgate_proto.values import Finding, Severity

OPEN_S_MAX: Final = 0.5
"""Longest wait for chips to be open before the first process is thawed; a child that is up takes
milliseconds."""
_POLL_S: Final = 0.01
_LOG = logging.getLogger("flopgate.gate")
WISHES: Final[Mapping[type[Move], Wish]] = {
    Deny: Wish.DENIED,
    Slow: Wish.SLOWED,
    Restore: Wish.FREE,
}
"""What each decision upon chips wants of them."""
_WORTH_TELLING: Final = {
    State.REFUSED: (FindingId.RUNG_REFUSED, Severity.WARNING),
    State.NOT_IN_FORCE: (FindingId.RUNG_NOT_IN_FORCE, Severity.ALERT),
    State.FOUND_UNDONE: (FindingId.RUNG_UNDONE, Severity.ALERT),
    State.UNREADABLE: (FindingId.STATE_UNREADABLE, Severity.WARNING),
}


def chip_finding(fact: Fact) -> Finding:
    """A rung that does not hold concerns a chip, and nothing of the operator's business."""
    what, severity = _WORTH_TELLING[fact.state]
    detail = f"{fact.rung}: {fact.detail}" if fact.detail else fact.rung
    return Finding(id=what, severity=severity, subject=fact.uuid, detail=detail)


class Hand:
    """Enforcement of one host's lanes.

    Args:
        device_globs: device nodes of each lane's chips, by workload.
        chips: UUIDs of each lane's chips, by workload.
        limits: sets what the driver keeps for each chip.
        announcer: tells the operator's own service of a wind-down.
    """

    def __init__(
        self,
        enforcer: Enforcer,
        device_globs: Mapping[str, Sequence[str]],
        chips: Mapping[str, Sequence[str]],
        limits: ChipLimits,
        announcer: Announcer,
    ) -> None:
        self._enforcer = enforcer
        self._globs = device_globs
        self._chips = chips
        self._limits = limits
        self._announcer = announcer
        self._protected: tuple[int, ...] = ()
        # Lanes that were let go last, by workload.
        self._going: dict[str, Thaw] = {}
        # Whether the last wait for chips was worth it: one that hangs is not waited for again.
        self._waits = True
        _LOG.info("enforcement: %s", enforcer.capabilities)
        for lane in enforcer.adopt():
            _LOG.info("adopted a held lane", extra={FIELDS: {"lane": lane.lane_id}})
        for uuids in chips.values():
            limits.want(uuids, Wish.PROBE)

    def protect(self, pids: Sequence[int]) -> None:
        """Never touch these: the children that read the driver. Replaces the set before."""
        self._protected = tuple(pids)
        self._enforcer.protect((*self._protected, *self._limits.pids))

    @property
    def closed(self) -> frozenset[str]:
        """Workloads whose chips were to be opened for jobs and are not yet."""
        return frozenset(
            workload for workload, uuids in self._chips.items() if self._limits.pending(uuids)
        )

    def turn(self, now_ms: int) -> list[Finding]:
        """Let chips be set, and tell what did not come true."""
        before = self._limits.pids
        told = self._limits.handle_timer(now_ms)
        if self._limits.pids != before:
            self.protect(self._protected)
        self._waits |= self._limits.idle
        return [*self._let_go_again(now_ms), *map(self._tell, told)]

    def close(self, now_ms: int) -> None:
        """Bring what is under way to an end: the gate stops."""
        for fact in self._limits.finish(now_ms):
            self._tell(fact)

    def carry_out(self, action: Move) -> list[Finding]:
        """Do it, and log what resisted.

        What is returned goes into signed reports: ids and counts, no process of the operator's.
        """
        match action:
            case Deny() | Slow() | Restore():
                return self._wish(action)
            case _:
                return self._upon_processes(action)

    def _wish(self, action: Deny | Slow | Restore) -> list[Finding]:
        wish, uuids = WISHES[type(action)], self._chips[action.workload]
        self._limits.want(uuids, wish)
        _LOG.info("enforcement: chips %s", wish, extra={FIELDS: {"workload": action.workload}})
        told = self.turn(elapsed_ms())
        if wish is Wish.FREE and self._waits:
            # Whoever goes on, or is told that the lane runs, finds its chips open.
            end = time.monotonic() + OPEN_S_MAX
            while (closed := self._limits.pending(uuids)) and time.monotonic() < end:
                time.sleep(_POLL_S)
                told += self.turn(elapsed_ms())
            self._waits = not closed
        return told

    def _tell(self, fact: Fact) -> Finding:
        _LOG.warning("chip %s: %s %s %s", fact.uuid, fact.rung, fact.state, fact.detail)
        return chip_finding(fact)

    def _let_go_again(self, now_ms: int) -> list[Finding]:
        """What was frozen after this gate let it go: by the last act of a lock-down, perhaps."""
        again = [
            action
            for workload, action in self._going.items()
            if now_ms < action.until_ms and self._enforcer.held_elsewhere(lane_id(workload))
        ]
        return [found for action in again for found in self._upon_processes(action)]

    def _upon_processes(self, action: Freeze | Thaw | Kill | Notify) -> list[Finding]:
        outcome = self._apply(lane_id(action.workload), action)
        fields = {
            "workload": action.workload,
            "done": outcome.done,
            "resisted": outcome.resisted,
            "findings": [f"{found.id}: {found.detail}" for found in outcome.findings],
            "elapsed_us": outcome.elapsed_us,
        }
        level = logging.WARNING if outcome.resisted else logging.INFO
        _LOG.log(level, "enforcement %s", outcome.action.value, extra={FIELDS: fields})
        return [
            Finding(id=found.id, severity=found.severity, subject=action.workload)
            for found in outcome.findings
        ]

    def _apply(self, lane: str, action: Freeze | Thaw | Kill | Notify) -> Outcome:
        match action:
            case Freeze():
                self._going.pop(action.workload, None)
                return self._enforcer.freeze(lane, action.pids)
            case Thaw():
                self._going[action.workload] = action
                return self._enforcer.thaw(lane)
            case Kill():
                self._going.pop(action.workload, None)
                return self._enforcer.kill(
                    lane, job_pids(action.pids, self._globs[action.workload])
                )
            case Notify():
                self._announcer.tell(action)
                return self._enforcer.notify(lane, action.pids, action.left_ms)
