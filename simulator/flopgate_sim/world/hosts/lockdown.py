"""The lock-down beside a gate of the world: production says what is due, this does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.leasing import Leasing
from flopgate_agent.gate.terms import Terms
from flopgate_agent.lockdown import deciding
from flopgate_sim.world.nature.engine import US_PER_S, Engine

if TYPE_CHECKING:
    from flopgate_sim.world.hosts.host import Host

LOOK_US = US_PER_S // 2


class Lockdown:
    """It looks twice a second while no gate runs."""

    def __init__(self, engine: Engine, host: Host) -> None:
        self._engine = engine
        self._host = host
        self._terms: Terms | None = None
        self._looks = False

    def gate_dies(self, core: GateCore) -> None:
        """The lease is as old as the gate's last renewal, which in here is this moment."""
        self._terms = Leasing(()).terms(core, self._host.clocks.elapsed_ms) or self._terms
        if not self._looks:
            self._looks = True
            self._engine.after(LOOK_US, "lock-down", self._look)

    def _look(self) -> None:
        host, terms = self._host, self._terms
        self._looks = host.runner is None and host.up
        if not self._looks or terms is None:
            return
        self._engine.after(LOOK_US, "lock-down", self._look)
        if host.suspended:
            return
        now_us = self._engine.now_us
        wanted = deciding.due(
            terms, host.clocks.elapsed_ms, gate_lives=False, unchanged_ms=LOOK_US // 1000
        )
        chips = {lane.workload: set(lane.chips) for lane in host.plan.lanes}
        for lane in wanted.freeze:
            host.hold(self._pids(chips[lane.workload]))
        for lane in wanted.kill:
            host.hardware.kill(self._pids(chips[lane.workload], held=not lane.still), now_us)
        host.hardware.advance(now_us)
        host.truth.mark()

    def _pids(self, chips: set[int], *, held: bool = True) -> set[int]:
        jobs = [job for job in self._host.hardware.jobs if chips & set(job.chips)]
        return {job.pid for job in jobs if held or job.frozen_us is None}
