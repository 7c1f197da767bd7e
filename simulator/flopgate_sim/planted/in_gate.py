"""Bugs of the gate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flopgate_agent import ledger
from flopgate_agent.enforcement.chips import ChipLimits, Fact, State, Wish
from flopgate_agent.enforcement.chips.child import Setter
from flopgate_agent.enforcement.chips.device_filter import DeviceFilter
from flopgate_agent.enforcement.chips.nodes import Nodes
from flopgate_agent.gate import clock, core
from flopgate_agent.gate.actions import Restore
from flopgate_agent.gate.authorities import phases
from flopgate_agent.gate.authorities.authority import Authority, admitted
from flopgate_agent.gate.authorities.officers import OfficerOrders
from flopgate_agent.gate.authorities.phases import PhaseInForce
from flopgate_agent.gate.authorities.told_time import ToldTime
from flopgate_agent.gate.lanes import allowance, host_lanes, lane
from flopgate_agent.gate.lanes.allowance import Allowed
from flopgate_agent.gate.lanes.host_lanes import HostLanes
from flopgate_agent.gate.lanes.host_meter import HostMeter
from flopgate_agent.gate.lanes.states import RUNGS, Rung
from flopgate_agent.gate.memory import Moment
from flopgate_agent.gate.reports import answers, chain, reporting
from flopgate_proto.batches import ProvenAnswer, VerifiedAnswer
from flopgate_proto.codec import PayloadType
from flopgate_proto.codec.answers import decode_answer, decode_batch_root
from flopgate_proto.envelope import statement_digest
from flopgate_proto.orders.held import LatchedPause
from flopgate_proto.phases import strictest_between
from flopgate_proto.values import Assurance, LaneState, Phase, ScopeKind
from flopgate_sim.planted.patching import Swap

FORGOTTEN_AFTER_MS = 20_000
FOR_EVER_MS = 10**12


def receipt_time() -> tuple[Swap, ...]:
    permit_of = answers._permit  # noqa: SLF001  # the bug goes where the rule is

    def late(*arguments: Any) -> Any:
        permit = permit_of(*arguments)
        return None if permit is None else replace(permit, made_ms=arguments[-1])

    return (Swap(answers, "_permit", late),)


def ceiling_added() -> tuple[Swap, ...]:
    permit_of = answers._permit  # noqa: SLF001  # as above

    def added(*arguments: Any) -> Any:
        permit, authority = permit_of(*arguments), arguments[2]
        if permit is None or authority.permit is None:
            return permit
        old = authority.permit.ceilings
        ceilings = {name: most + old.get(name, 0) for name, most in permit.ceilings.items()}
        return replace(permit, ceilings=ceilings)

    return (Swap(answers, "_permit", added),)


def join_unawaited() -> tuple[Swap, ...]:
    def permission(workload: str, authorities: Any, now_ms: int, running_ms: int) -> Any:
        return allowance.allowance(workload, admitted(authorities), now_ms, running_ms)

    def ceiling(found: Any, workload: str, authorities: Any, now_ms: int) -> int | None:
        return allowance.ceiling_of(found, workload, admitted(authorities), now_ms)

    return (Swap(host_lanes, "allowance", permission), Swap(host_lanes, "ceiling_of", ceiling))


def no_drain_margin() -> tuple[Swap, ...]:
    step = lane.Lane._step_allowed  # noqa: SLF001  # as above

    def eager(self: lane.Lane, allowed: Any, drain_ms: int, now_ms: int) -> Any:
        late_ms = drain_ms + self._bound_ms  # as above
        later = replace(allowed, until_ms=allowed.until_ms + late_ms)
        return step(self, later, drain_ms, now_ms)

    return (Swap(lane.Lane, "_step_allowed", eager),)


def freeze_is_standstill() -> tuple[Swap, ...]:
    return (
        Swap(lane.Lane, "_still_since_freeze", lambda _self: True),
        Swap(lane.Lane, "active", property(lambda _self: False)),
    )


def kill_forgotten() -> tuple[Swap, ...]:
    kill = lane.Lane._kill  # noqa: SLF001  # as above

    def spare(self: lane.Lane, now_ms: int, *, woken: bool = False) -> Any:
        kill(self, now_ms, woken=woken)
        return []

    return (Swap(lane.Lane, "_kill", spare),)


def thaw_unchecked() -> tuple[Swap, ...]:
    step = lane.Lane.step
    remembered: dict[int, Allowed] = {}

    def hasty(self: lane.Lane, permission: Any, *step_of: Any) -> Any:
        if isinstance(permission, Allowed):
            remembered[id(self)] = permission
        elif self.state is LaneState.HALTED:
            permission = remembered.get(id(self), permission)
        return step(self, permission, *step_of)

    return (Swap(lane.Lane, "step", hasty),)


def rungs_unclimbed() -> tuple[Swap, ...]:
    return (Swap(lane.Lane, "_climb", lambda _self, *, loose: []),)  # noqa: ARG005


def rungs_unrestored() -> tuple[Swap, ...]:
    climb = lane.Lane._climb  # noqa: SLF001  # as above

    def upwards(self: lane.Lane, *, loose: bool) -> Any:
        return [one for one in climb(self, loose=loose) if not isinstance(one, Restore)]

    return (Swap(lane.Lane, "_climb", upwards),)


def barred_while_running() -> tuple[Swap, ...]:
    everywhere = {**RUNGS, LaneState.RUNNING: frozenset({Rung.DENY})}
    return (Swap(lane, "RUNGS", everywhere),)


def slowed_never() -> tuple[Swap, ...]:
    return (Swap(lane, "RUNGS", {**RUNGS, LaneState.HALTED: frozenset({Rung.DENY})}),)


def node_unclosed() -> tuple[Swap, ...]:
    return (Swap(Nodes, "hold", lambda _self, _nvml, _handle: None),)


def filter_unattached() -> tuple[Swap, ...]:
    return (Swap(DeviceFilter, "hold", lambda _self, _nvml, _handle: None),)


def filter_left_attached() -> tuple[Swap, ...]:
    return (Swap(DeviceFilter, "undo", lambda _self, _nvml, _handle, _before: None),)


def own_rung_for_before() -> tuple[Swap, ...]:
    serve = Setter._serve  # noqa: SLF001  # as above

    def forgetful(self: Setter, *where: Any) -> None:
        *_, rung, wish, before = where
        if wish is not Wish.FREE:
            before.pop(rung.name, None)
        serve(self, *where)

    return (Swap(Setter, "_serve", forgetful),)


def rungs_unrenewed() -> tuple[Swap, ...]:
    return (Swap(ChipLimits, "_renew", lambda _self, _now_ms: None),)


def undone_untold() -> tuple[Swap, ...]:
    note = ChipLimits._note  # noqa: SLF001  # as above

    def silent(self: ChipLimits, fact: Fact) -> list[Fact]:
        return [one for one in note(self, fact) if one.state is not State.FOUND_UNDONE]

    return (Swap(ChipLimits, "_note", silent),)


def hung_setter_kept() -> tuple[Swap, ...]:
    make = ChipLimits.__init__

    def patient(self: ChipLimits, *given: Any) -> None:
        make(self, *given, answer_ms_max=FOR_EVER_MS)

    return (Swap(ChipLimits, "__init__", patient),)


def clock_waits() -> tuple[Swap, ...]:
    return (Swap(core.GateCore, "went_back", lambda _self, _now: False),)


def wall_step_untold() -> tuple[Swap, ...]:
    return (Swap(clock.HostClock, "_watch_wall", lambda _self: None),)


def pause_forgotten() -> tuple[Swap, ...]:
    pause_of = OfficerOrders.pause_of

    def brief(self: OfficerOrders, workload: str, running_ms: int) -> LatchedPause | None:
        found = pause_of(self, workload, running_ms)
        if found is None or running_ms - found.since_ms > FORGOTTEN_AFTER_MS:
            return None
        return found

    return (Swap(OfficerOrders, "pause_of", brief),)


def unsigned_believed() -> tuple[Swap, ...]:
    def gullible(proven: ProvenAnswer, _authority: str, _keys: Any) -> VerifiedAnswer:
        return VerifiedAnswer(
            decode_answer(proven.payload),
            statement_digest(PayloadType.ANSWER, proven.payload),
            decode_batch_root(proven.root.payload),
            proven.root.digest,
            frozenset(),
        )

    return (
        Swap(answers, "verify_answer", gullible),
        Swap(answers, "_check_head", lambda _answer, _sent: None),
    )


def silent_driver_ignored() -> tuple[Swap, ...]:
    def blind(self: core.GateCore, now: Any) -> None:
        self._charge(self.meter.blind(now.elapsed_ms))  # as above

    return (Swap(core.GateCore, "_go_blind", blind),)


def stands_without_why() -> tuple[Swap, ...]:
    hold = lane.Lane._hold  # noqa: SLF001  # as above

    def mute(self: lane.Lane, why: Any, drain_ms: int, now_ms: int) -> Any:
        actions = hold(self, why, drain_ms, now_ms)
        self.why = None
        return actions

    return (Swap(lane.Lane, "_hold", mute),)


def ledger_unsynced() -> tuple[Swap, ...]:
    opened = ledger.Ledger.__init__

    def hasty(self: ledger.Ledger, path: Any) -> None:
        opened(self, path)
        self._db.execute("PRAGMA synchronous=OFF")  # as above

    return (Swap(ledger.Ledger, "__init__", hasty),)


def assurance_inflated() -> tuple[Swap, ...]:
    build = reporting.build_report

    def inflated(settings: Any, **fields: Any) -> Any:
        return build(replace(settings, assurance=Assurance.ATTESTED), **fields)

    return (Swap(chain, "build_report", inflated),)


def findings_dropped() -> tuple[Swap, ...]:
    charge = HostMeter.charge

    def silent(self: HostMeter, charged: Any, to: Any) -> None:
        chip, parts = charged
        charge(self, (chip, tuple(replace(part, findings=()) for part in parts)), to)

    return (Swap(HostMeter, "charge", silent),)


def _phase(bent: Any) -> tuple[Swap, ...]:
    """What ``bent`` makes of the phase in force, the authorities and the host's own least."""
    in_force = phases.phase_in_force

    def said(authorities: Any, least: Phase, **at: int) -> PhaseInForce:
        phase = in_force(authorities, least, **at).phase
        return PhaseInForce(phase=bent(phase, list(authorities), least), why="a bug")

    return (Swap(host_lanes, "phase_in_force", said),)


def observe_freezes() -> tuple[Swap, ...]:
    return _phase(lambda phase, *_: Phase.ENFORCE if phase is Phase.OBSERVE else phase)


def own_phase_loosens() -> tuple[Swap, ...]:
    return _phase(lambda phase, _all, least: min(phase, least))


def own_phase_ignored() -> tuple[Swap, ...]:
    in_force = phases.phase_in_force

    def policies_only(authorities: Any, _least: Phase, **at: int) -> PhaseInForce:
        return in_force(authorities, Phase.OBSERVE, **at)

    return (Swap(host_lanes, "phase_in_force", policies_only),)


def _strictest(bent: Any) -> tuple[Swap, ...]:
    return (Swap(phases, "strictest_between", bent),)


def date_passed_over() -> tuple[Swap, ...]:
    return _strictest(lambda rules, scopes, *_interval: strictest_between(rules, scopes, 0, 0))


def site_passed_over() -> tuple[Swap, ...]:
    def wide(rules: Any, scopes: Any, *interval: int) -> Phase:
        wider = {scope for scope in scopes if scope.kind < ScopeKind.SITE}
        return strictest_between(rules, wider, *interval)

    return _strictest(wide)


def phase_forgotten() -> tuple[Swap, ...]:
    def anew(self: Authority, now: Moment, _least_running_ms: int) -> None:
        at_ms = -now.elapsed_ms
        self.told_time = ToldTime(earliest_after_ms=at_ms, latest_after_ms=at_ms)

    return (Swap(Authority, "resume_time", anew),)


def phase_never_old() -> tuple[Swap, ...]:
    def young(authorities: Any, least: Phase, *, now_ms: int, running_ms: int) -> PhaseInForce:  # noqa: ARG001
        seen_ms = min((one.policy_seen_running_ms for one in authorities), default=0)
        return in_force(authorities, least, now_ms=now_ms, running_ms=seen_ms)

    in_force = phases.phase_in_force
    return (Swap(host_lanes, "phase_in_force", young),)


def would_stop_untold() -> tuple[Swap, ...]:
    return (Swap(HostLanes, "_note_would", lambda *_: None),)


def runs_without_why() -> tuple[Swap, ...]:
    step = lane.Lane._step_loose  # noqa: SLF001  # as above

    def mute(self: lane.Lane, *given: Any) -> Any:
        actions = step(self, *given)
        self.why = None
        return actions

    return (Swap(lane.Lane, "_step_loose", mute),)


def date_brought_forward() -> tuple[Swap, ...]:
    def latest(self: ToldTime, now_ms: int) -> int:
        return now_ms + self.latest_after_ms

    return (Swap(ToldTime, "latest_unix_ms", latest),)


def loosest_rules() -> tuple[Swap, ...]:
    in_force = phases.phase_in_force

    def loosest(authorities: Any, least: Phase, **at: int) -> PhaseInForce:
        each = [in_force([one], least, **at) for one in admitted(authorities)]
        return min(each, key=lambda one: one.phase)

    return (Swap(host_lanes, "phase_in_force", loosest),)


def time_lost() -> tuple[Swap, ...]:
    resume = Authority.resume_time

    def by_running_time(self: Authority, now: Moment, _least_running_ms: int) -> None:
        resume(self, replace(now, boot_id=b"another"))

    return (Swap(Authority, "resume_time", by_running_time),)
