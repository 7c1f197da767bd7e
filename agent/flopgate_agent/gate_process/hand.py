"""Carries out what the core decided upon processes: lanes become ids, chips become device nodes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence

from flopgate_agent.enforcement import Enforcer, Outcome, device_holders
from flopgate_agent.enforcement.processes import ProcFs
from flopgate_agent.gate.actions import Freeze, Kill, Notify, Thaw
from flopgate_agent.logs import FIELDS
from flopgate_proto.values import Finding

_LOG = logging.getLogger("flopgate.gate")


def lane_id(workload: str) -> str:
    """Name of a lane that is fit for a directory and stays the same over restarts."""
    return hashlib.sha256(workload.encode()).hexdigest()[:16]


class Hand:
    """Enforcement of one host's lanes.

    Args:
        device_globs: device nodes of each lane's chips, by workload.
    """

    def __init__(self, enforcer: Enforcer, device_globs: Mapping[str, Sequence[str]]) -> None:
        self._enforcer = enforcer
        self._globs = device_globs
        self._proc = ProcFs()
        _LOG.info("enforcement: %s", enforcer.capabilities)
        for lane in enforcer.adopt():
            _LOG.info("adopted a held lane", extra={FIELDS: {"lane": lane.lane_id}})

    def protect(self, pids: Sequence[int]) -> None:
        """Never touch these: the sampler child. Replaces the set of the call before."""
        self._enforcer.protect(pids)

    def carry_out(self, action: Freeze | Thaw | Kill | Notify) -> list[Finding]:
        """Do it, and log what resisted.

        What is returned goes into signed reports: ids and counts, no process of the operator's.
        """
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
                return self._enforcer.freeze(lane, action.pids)
            case Thaw():
                return self._enforcer.thaw(lane)
            case Kill():
                return self._enforcer.kill(lane, self._with_holders(action))
            case Notify():
                return self._enforcer.notify(lane, action.pids, action.left_ms)

    def _with_holders(self, action: Kill) -> set[int]:
        """The driver's list, and whoever holds a device node open without standing in it.

        A system service that holds one (nvidia-persistenced) does no work of a job: left alone.
        """
        pids = set(action.pids)
        for who in device_holders(self._globs[action.workload]).holders:
            cgroup = self._proc.cgroup(who.pid) or ""
            if not cgroup.endswith(".service"):
                pids.add(who.pid)
        return pids
