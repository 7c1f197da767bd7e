"""Until when a host may do without its gate: what a lock-down outside goes by. Pure.

Laws served here: 1 and 8. While it lives a gate renews its terms; when it is gone, each lane is
frozen and then killed at the moments that they name, all of it within the policy's ``watchdog_ms``
and within what was permitted. A lane's term is prolonged by permission or by proven stillness
only: gates that start and die again and again prolong nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flopgate_agent.gate.authorities.authority import admitted
from flopgate_agent.gate.authorities.seats import ruling
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.lanes.allowance import Allowed
from flopgate_agent.gate.lanes.asking import drain_ms_of, watchdog_ms_of
from flopgate_agent.gate.lanes.lane import Lane
from flopgate_agent.gate.terms import SILENT_MS_MIN, LaneTerm, Terms
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import LaneState


class Leasing:
    """Makes the terms of one run of the gate.

    Args:
        before: of the gate before this one, in the same boot.
    """

    def __init__(self, before: Iterable[LaneTerm]) -> None:
        self._owed_ms = {term.workload: term.kill_at_ms for term in before if not term.still}

    def terms(self, core: GateCore, now_ms: int | None = None) -> Terms | None:
        """As things stand after the last step; ``None`` before the first.

        ``now_ms``: this moment on the host's clock, where the core has not heard of it yet.
        """
        if core.enrolled and not core.permissions:
            return None
        authorities = admitted(ruling(core.authorities.values(), core.running_ms))
        drain_ms = drain_ms_of(authorities)
        stop_ms = drain_ms + core.settings.enforcement_bound_ms
        silent_ms = max(SILENT_MS_MIN, watchdog_ms_of(authorities) - stop_ms)
        elapsed_ms = core.elapsed_ms if now_ms is None else now_ms + core.behind_ms
        lanes: tuple[LaneTerm, ...] = ()
        if core.enrolled and core.in_force.bites:
            lanes = tuple(
                _on_the_hosts_clock(
                    self._term(lane, core, elapsed_ms + silent_ms, drain_ms), core.behind_ms
                )
                for lane in core.lanes.values()
                # One of an earlier configuration has nothing to be stopped.
                if lane.setting.chips
            )
        renewed_ms = elapsed_ms - core.behind_ms
        return Terms(
            renewed_ms=renewed_ms, silent_ms=silent_ms, lanes=lanes, running_ms=core.running_ms
        )

    def _term(self, lane: Lane, core: GateCore, gone_ms: int, drain_ms: int) -> LaneTerm:
        name, due_ms = lane.workload, lane.get_timer()
        if lane.state is LaneState.FROZEN:
            # A kill is on its way: it comes when it was due, whoever carries it out.
            owed_ms = self._owed_ms.get(name, gone_ms) + core.behind_ms
            if due_ms is not None and not lane.killed:
                # Who was held without permission proves his stillness within some looks, while a
                # gate looks. One that dies meanwhile has the drain to come back.
                due_ms = max(due_ms, lane.since_ms + drain_ms)
            at_ms = min(owed_ms, gone_ms if due_ms is None else due_ms)
            return LaneTerm(workload=name, freeze_at_ms=at_ms, kill_at_ms=at_ms, still=False)
        self._owed_ms.pop(name, None)
        if lane.state is LaneState.HALTED:
            return LaneTerm(workload=name, freeze_at_ms=gone_ms, kill_at_ms=gone_ms, still=True)
        times_ms = [gone_ms]
        if lane.state is LaneState.WINDING_DOWN and due_ms is not None:
            times_ms.append(due_ms)
        permission = core.permissions[name]
        if isinstance(permission, Allowed):
            stop_ms = drain_ms + core.settings.enforcement_bound_ms
            times_ms.append(permission.until_ms - stop_ms)
            if peak := lane.peak_tflop_per_s:
                # Nobody counts any more: at its peak the lane is at its ceiling by then.
                left_ms = lane.left_tflop(permission) * 1000 // peak
                times_ms.append(core.meter.covered_ms + left_ms - stop_ms)
        freeze_at_ms = min(times_ms)
        return LaneTerm(
            workload=name,
            freeze_at_ms=freeze_at_ms,
            kill_at_ms=freeze_at_ms + drain_ms,
            still=False,
        )


def _on_the_hosts_clock(term: LaneTerm, behind_ms: int) -> LaneTerm:
    return replace(
        term,
        freeze_at_ms=_readable(term.freeze_at_ms - behind_ms),
        kill_at_ms=_readable(term.kill_at_ms - behind_ms),
    )


def _readable(at_ms: int) -> int:
    """A count, whatever spans were signed: who reads the lease takes no other."""
    return min(max(0, at_ms), COUNT_MAX)
