"""All lanes of the host: what each may do at this moment, and what follows from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from flopgate_agent.gate.actions import Action, Restore, Tell, Thaw
from flopgate_agent.gate.authorities.authority import Authority, admitted
from flopgate_agent.gate.authorities.phases import PhaseInForce, next_change_ms, phase_in_force
from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.lanes.allowance import UNENROLLED, Allowed, Denied, allowance, ceiling_of
from flopgate_agent.gate.lanes.asking import drain_ms_of, policies_of
from flopgate_agent.gate.lanes.host_meter import Charge, HostMeter
from flopgate_agent.gate.lanes.lane import COMPUTING, Lane
from flopgate_agent.gate.lanes.outlook import WouldStop
from flopgate_agent.gate.lanes.states import MAY_COMPUTE
from flopgate_agent.gate.settings import GateSettings
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import ChargedFigure, LaneState, Phase, Severity


def charged_figure(authorities: Collection[Authority]) -> ChargedFigure:
    """Which figure of an interval goes into the books: the highest that an authority charges."""
    policies = policies_of(authorities)
    if len(policies) < len(authorities):
        # An authority that has not said yet which one it charges may charge the highest.
        return ChargedFigure.HIGH
    return max([one.charged_figure for one in policies], default=ChargedFigure.HIGH)


def _denied_by(fault: Denied, permission: Allowed | Denied, lane: Lane) -> Denied:
    """The fault, unless an authority leaves a lane that still computes less time than it does.

    Only a host that retires has a fault with a wind-down: no emergency waits for that.
    """
    if (
        lane.state in MAY_COMPUTE
        and isinstance(permission, Denied)
        and permission.wind_down_ms < fault.wind_down_ms
    ):
        return permission
    return fault


class HostLanes:
    """The lanes, and the permission of each as of the last step.

    Attributes:
        by_workload: the lanes; those of an earlier configuration have no chips.
        permissions: what each may do, by workload; none before the first step.
        in_force: the phase of the last step, ``None`` before the first.
        free: why nothing is enforced where nobody rules this host.
        halted: whether a lane came to stand still in the last step.
    """

    def __init__(
        self, settings: GateSettings, meter: HostMeter, findings: FindingLog, now_ms: int
    ) -> None:
        self._meter = meter
        self.by_workload = {
            lane.workload: Lane(lane, settings, [meter.chips[i] for i in lane.chips], now_ms)
            for lane in settings.lanes
        }
        self.permissions: dict[str, Allowed | Denied] = {}
        self.in_force: PhaseInForce | None = None
        self.halted = False
        self._holds = False
        self.free = UNENROLLED
        self._passed_on = False
        self._findings = findings
        self._least_phase = settings.phase_at_least
        self._of_chip = {
            index: lane for lane in self.by_workload.values() for index in lane.setting.chips
        }

    def be_free(self, why: Denied = UNENROLLED) -> None:
        """Nobody rules this host, or not any more: say so, and let go of what is held."""
        self._holds, self.free = True, why
        for lane in self.by_workload.values():
            lane.why = why

    def enforce(self) -> None:
        """From now on rules bite, whatever policies say: its own people want it so."""
        self._least_phase = Phase.ENFORCE

    def let_go(self) -> list[Action]:
        """Once, while nobody rules this host: nothing stays stopped that nobody rules."""
        holds, self._holds = self._holds, False
        actions: list[Action] = []
        for lane in self.by_workload.values() if holds else ():
            if lane.setting.chips:
                actions.append(Restore(workload=lane.workload, until_ms=COUNT_MAX))
            actions.append(Thaw(workload=lane.workload, until_ms=COUNT_MAX))
        return actions

    def lose_hold(self) -> None:
        """Actions may have been voided: nothing counts as held until it is frozen again."""
        self._passed_on = False
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
        least = self._least_phase
        phase = phase_in_force(authorities, least, now_ms=now_ms, running_ms=running_ms)
        actions = self._enter(phase)
        drain_ms = drain_ms_of(admitted(authorities))
        figure = charged_figure(authorities)
        for lane in self.by_workload.values():
            permission = allowance(lane.workload, authorities, now_ms, running_ms)
            if fault is not None:
                permission = _denied_by(fault, permission, lane)
            self.permissions[lane.workload] = permission
            lane.ceiling_tflop = ceiling_of(permission, lane.workload, authorities, now_ms)
            lane.figure = figure
            before, told = lane.state, lane.would
            stepped = lane.step(permission, drain_ms, now_ms, phase.phase)
            if stepped:
                self._note_computing(stepped)
                actions += stepped
            if lane.would is not None:
                self._note_would(lane, lane.would, told)
            if lane.state is not before and lane.state is LaneState.HALTED:
                self.halted = True
        return [*actions, *self._pass_on()]

    def _pass_on(self) -> list[Action]:
        """Let go of what a lane of an earlier configuration holds: its chips are in another now.

        Once, and not before that one knows who is on them. While a chip is in no lane, nobody rules
        it: what is held stays held.
        """
        if self._passed_on:
            return []
        lanes = self.by_workload.values()
        ruled = [lane for lane in lanes if lane.setting.chips]
        # One that stood at the first look has stopped, and has not taken over who was there.
        unsure = any(
            lane.state is LaneState.FROZEN or (lane.unheld and lane.state not in MAY_COMPUTE)
            for lane in ruled
        )
        if unsure or len(self._of_chip) < len(self._meter.chips):
            return []
        self._passed_on = True
        gone = [lane.workload for lane in lanes if not lane.setting.chips]
        return [Thaw(workload=workload, until_ms=COUNT_MAX) for workload in gone]

    def _enter(self, new: PhaseInForce) -> list[Action]:
        """Tell the host's people and the authorities when the phase changes."""
        # Nothing is looser than `enforce` until it was shown to be.
        old = Phase.ENFORCE if self.in_force is None else self.in_force.phase
        self.in_force = new
        if new.phase is old:
            return []
        name = f"phase.{new.phase.name.lower()}"
        self._findings.add(name, Severity.INFO, detail=new.why)
        return [Tell(event=name, subject="", detail=new.why)]

    def _note_computing(self, actions: Iterable[Action]) -> None:
        """The authorities hear of each stop that takes longer than it may."""
        for one in actions:
            if isinstance(one, Tell) and one.event == COMPUTING:
                self._findings.add(
                    COMPUTING, Severity.ALERT, subject=one.subject, detail=one.detail
                )

    def _note_would(self, lane: Lane, would: WouldStop, told: WouldStop | None) -> None:
        """The authorities hear of each stop that does not happen, with its reason and moment."""
        if told is not None and told.why.reason == would.why.reason:
            return
        why = would.why
        by = f" of {why.authority}" if why.authority else ""
        order = f", order {why.order_digest.hex()}" if why.order_digest else ""
        detail = f"{why.reason}{by}{order}: frozen by {would.freeze_at_ms} ms, were it enforced"
        self._findings.add(
            "lane.would-stop", Severity.WARNING, subject=lane.workload, detail=detail
        )

    def timers_ms(
        self, authorities: Collection[Authority], *, now_ms: int, running_ms: int
    ) -> list[int]:
        """When time alone changes something in a lane, or the phase."""
        times_ms = next_change_ms(authorities, now_ms=now_ms, running_ms=running_ms)
        times_ms += [lane_ms for lane in self.by_workload.values() if (lane_ms := lane.get_timer())]
        return times_ms

    def look_by_ms(self) -> list[int]:
        """By when each lane must be looked at, as of the last step."""
        covered_ms = self._meter.covered_ms
        return [lane.look_by_ms(covered_ms) for lane in self.by_workload.values()]
