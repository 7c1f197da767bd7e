"""All lanes of the host: what each may do at this moment, and what follows from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from flopgate_agent.gate.actions import Action
from flopgate_agent.gate.allowance import UNENROLLED, Allowed, Denied, allowance, ceiling_of
from flopgate_agent.gate.asking import policies_of
from flopgate_agent.gate.authority import Authority, admitted
from flopgate_agent.gate.host_meter import Charge, HostMeter
from flopgate_agent.gate.lane import Lane
from flopgate_agent.gate.settings import GateSettings
from flopgate_proto.values import ChargedFigure, LaneState

DEFAULT_DRAIN_MS = 5000
"""Until a policy says otherwise (DESIGN section 3, law 1)."""


def charged_figure(authorities: Collection[Authority]) -> ChargedFigure:
    """Which figure of an interval goes into the books: the highest that an authority charges."""
    policies = policies_of(authorities)
    if len(policies) < len(authorities):
        # An authority that has not said yet which one it charges may charge the highest.
        return ChargedFigure.HIGH
    return max((one.charged_figure for one in policies), default=ChargedFigure.HIGH)


class HostLanes:
    """The lanes, and the permission of each as of the last step.

    Attributes:
        by_workload: the lanes; those of an earlier configuration have no chips.
        permissions: what each may do, by workload; none before the first step.
        halted: whether a lane came to stand still in the last step.
    """

    def __init__(self, settings: GateSettings, meter: HostMeter, now_ms: int) -> None:
        self._meter = meter
        self.by_workload = {
            lane.workload: Lane(lane, settings, [meter.chips[i] for i in lane.chips], now_ms)
            for lane in settings.lanes
        }
        self.permissions: dict[str, Allowed | Denied] = {}
        self.halted = False
        self._of_chip = {
            index: lane for lane in self.by_workload.values() for index in lane.setting.chips
        }

    def wait_for_admission(self) -> None:
        """No authority has admitted this host: say so."""
        for lane in self.by_workload.values():
            lane.why = UNENROLLED

    def lose_hold(self) -> None:
        """Actions may have been voided: nothing counts as held until it is frozen again."""
        for lane in self.by_workload.values():
            lane.lose_hold()

    def charge(self, charges: Iterable[Charge], figure: ChargedFigure) -> None:
        """Write what chips did into the books of the lanes that they serve."""
        for lane in self.by_workload.values():
            lane.figure = figure
        for charge in charges:
            self._meter.charge(charge, self._of_chip.get(charge[0].index))

    def step(
        self,
        authorities: Collection[Authority],
        fault: Denied | None,
        *,
        now_ms: int,
        running_ms: int,
    ) -> list[Action]:
        """Let permission, time and what the chips show act on every lane; a fault denies all."""
        self.halted = False
        policies = policies_of(admitted(authorities))
        drain_ms = max((policy.drain_ms for policy in policies), default=DEFAULT_DRAIN_MS)
        figure = charged_figure(authorities)
        actions: list[Action] = []
        for lane in self.by_workload.values():
            permission = fault or allowance(lane.workload, authorities, now_ms, running_ms)
            self.permissions[lane.workload] = permission
            lane.ceiling_tflop = ceiling_of(permission, lane.workload, authorities, now_ms)
            lane.figure = figure
            before = lane.state
            actions += lane.step(permission, drain_ms, now_ms)
            if lane.state is not before and lane.state is LaneState.HALTED:
                self.halted = True
        return actions

    def timers_ms(self) -> list[int]:
        """When time alone changes something in a lane."""
        return [lane_ms for lane in self.by_workload.values() if (lane_ms := lane.get_timer())]

    def look_by_ms(self) -> list[int]:
        """By when each lane must be looked at, as of the last step."""
        covered_ms = self._meter.covered_ms
        return [lane.look_by_ms(covered_ms) for lane in self.by_workload.values()]
