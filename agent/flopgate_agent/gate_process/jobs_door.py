"""The door at which jobs declare what they compute, and what a gate that hears them does."""

from __future__ import annotations

import logging
import selectors
from typing import Final

from flopgate_agent.clocks import read_boot_id
from flopgate_agent.config import GateConfig
from flopgate_agent.enforcement.processes import ProcFs
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate_process import declaring
from flopgate_agent.gate_process.gate_door import GateDoor
from flopgate_agent.logs import FIELDS
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.v1 import flopgate_pb2 as pb

_LOG: Final = logging.getLogger("flopgate.gate")


class JobsDoor:
    """Open to everybody on the host; what it takes is a move, and a move is a restart of the gate.

    Args:
        now_ms: host elapsed time.
        processes: of this host.

    Attributes:
        declared: what holds in this run.
        moved: the gate has to start anew, with other lanes.
    """

    def __init__(
        self,
        config: GateConfig,
        selector: selectors.BaseSelector,
        now_ms: int,
        processes: ProcFs | None = None,
    ) -> None:
        self._config = config
        self._boot_id = read_boot_id().hex()
        self._started_ms = now_ms
        self._processes = ProcFs() if processes is None else processes
        self._abandoned = declaring.Abandoned()
        self.moved = False
        self.declared: declaring.Declared = {}
        self._door: GateDoor | None = None
        if config.declarable:
            self.declared = declaring.read_declared(config.state_dir, self._boot_id)
            self._door = GateDoor(
                declaring.door_path(config.door_path), (), anyone=True, proc=self._processes
            )
            self._door.register(selector)

    def owns(self, key: selectors.SelectorKey) -> bool:
        """Whether a ready key is of this door."""
        return self._door is not None and key.data is self._door

    def on_ready(
        self, key: selectors.SelectorKey, core: GateCore | None, *, kept: bool, now_ms: int
    ) -> None:
        """Hear jobs. ``kept``: what is permitted outlives a restart of the gate.

        One question of each connection a turn: anybody may ask, each one costs looks into /proc,
        and the gate does nothing else meanwhile.
        """
        if self._door is None:
            return
        for client_id, message in self._door.on_ready(key):
            try:
                self._take(message, client_id, core, kept=kept, now_ms=now_ms)
                reply = pb.Reply()
            except EnvironmentFault as error:
                reply = pb.Reply(code=error.code, detail=error.detail, remedy=error.remedy)
            self._door.send(client_id, pb.FromGate(reply=reply))

    def _take(
        self, said: pb.ToGate, client_id: int, core: GateCore | None, *, kept: bool, now_ms: int
    ) -> None:
        if not said.HasField("declare"):
            raise EnvironmentFault("only declarations are taken here", code="declare.other")
        workload = said.declare.workload
        if core is None or not kept:
            raise EnvironmentFault(
                "a move would stop the job: nothing keeps what is permitted across it",
                code="declare.unkept",
                remedy="Run the gate under systemd, with the lock-down beside it.",
            )
        caller = self._cgroup_of(client_id)
        holders = declaring.holders_of(core.meter.chips, self._processes)
        mine = declaring.judge(workload, self._config.declarable, caller, holders)
        after = declaring.moved_to(workload, mine, self.declared, core.lanes)
        lanes = declaring.with_declared(core.settings.lanes, core.settings.chips, after)
        if lanes == tuple(lane for lane in core.settings.lanes if lane.chips):
            return
        if self.moved or now_ms - self._started_ms < declaring.MOVE_MS:
            raise EnvironmentFault(
                "lanes were moved a moment ago",
                code="declare.soon",
                remedy=f"Ask again in {declaring.MOVE_MS // 1000} s.",
            )
        self._move(after, f"{workload}: {', '.join(mine)}")

    def _cgroup_of(self, client_id: int) -> str | None:
        """The cgroup of whoever connected; ``None`` where he is gone."""
        if self._door is None or (who := self._door.process_of(client_id)) is None:
            return None
        cgroup = self._processes.cgroup(who.pid)
        return cgroup if self._processes.alive(who) else None

    def look(self, core: GateCore, now_ms: int, *, kept: bool) -> None:
        """Give chips back whose job is gone, where that stops nobody."""
        if not self.declared or self.moved or not kept:
            return
        held = {chip.chip.identity.uuid for chip in core.meter.chips if chip.pids}
        after = self._abandoned.drop(self.declared, held, now_ms)
        if after != self.declared and now_ms - self._started_ms >= declaring.MOVE_MS:
            self._move(after, "given back")

    def _move(self, after: declaring.Declared, detail: str) -> None:
        declaring.write_declared(self._config.state_dir, self._boot_id, after)
        _LOG.info("lanes move", extra={FIELDS: {"detail": detail}})
        self.moved = True

    def close(self) -> None:
        """Nobody is heard any more."""
        if self._door is not None:
            self._door.close()
