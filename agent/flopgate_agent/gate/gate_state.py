"""What a gate's core is made of, and what each step of it does: lanes, licenses, reports. Pure.

`GateCore` is this with what goes in.
"""

from __future__ import annotations

from collections.abc import Iterable

from flopgate_agent.gate.actions import Action, Tell
from flopgate_agent.gate.authorities import ordering
from flopgate_agent.gate.authorities.authority import Authority, admitted, required
from flopgate_agent.gate.authorities.phases import UNKNOWN, PhaseInForce
from flopgate_agent.gate.authorities.seats import ruling
from flopgate_agent.gate.carried import CarriedOver
from flopgate_agent.gate.clock import HostClock
from flopgate_agent.gate.faults import Faults
from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.lanes import asking
from flopgate_agent.gate.lanes.allowance import Allowed, Denied, whole
from flopgate_agent.gate.lanes.host_lanes import HostLanes, charged_figure
from flopgate_agent.gate.lanes.host_meter import Charge, HostMeter
from flopgate_agent.gate.licenses.licensing import Licensing
from flopgate_agent.gate.lifecycle.resuming import (
    carry_over,
    least_running_ms,
    resume,
    resume_clock,
    running_before,
)
from flopgate_agent.gate.lifecycle.retiring import RETIRED, Retiring
from flopgate_agent.gate.memory import Memory, Moment
from flopgate_agent.gate.reports.chain import Chain
from flopgate_agent.gate.settings import GateSettings, GateToken, Now
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import PeerError
from flopgate_proto.quick import maker
from flopgate_proto.values import LaneState, Request

make_moment = maker(Moment)


class GateState:
    """One host, between two things that go in.

    Attributes:
        lanes: by workload.
        authorities: all that must give permission, by name.
        permissions: what each lane may do, as of the last step.
        meter: the chips.
    """

    def __init__(
        self, settings: GateSettings, memory: Memory, tokens: Iterable[GateToken], now: Now
    ) -> None:
        self.settings = settings
        self.tokens = {token.authority: token for token in tokens}
        self.authorities = required(memory.authorities, self.tokens)
        self._admitted = admitted(self.authorities.values())
        self.findings = FindingLog()
        self._clock = HostClock(
            now, lambda: min(self._due_ms, self.meter.look_by_ms), self.findings
        )
        self._faults = Faults(self.findings)
        now = resume_clock(self._clock, memory.last, settings, self._faults)
        self._owed: list[Action] = []
        started_ms = now.elapsed_ms
        self.meter = HostMeter(settings, self.findings, now.elapsed_ms)
        self.chain = Chain(settings, now.elapsed_ms)
        self._oldest_sequence = memory.oldest_sequence
        self._running_after_ms = running_before(memory, settings, now) - started_ms
        self._lanes = HostLanes(settings, self.meter, self.findings, now.elapsed_ms)
        self.lanes, self.permissions = self._lanes.by_workload, self._lanes.permissions
        if memory.last is not None:
            resume(
                memory.last,
                settings,
                chain=self.chain,
                chips=self.meter.chips,
                lanes=self.lanes,
                findings=self.findings,
                now=now,
            )
        for authority in self.authorities.values():
            authority.resume_time(self._moment, least_running_ms(memory))
        self.licensing = Licensing(settings, memory.licenses)
        self.licensing.resume(self.authorities, memory.last, now.elapsed_ms)
        if not self._admitted:
            self._lanes.be_free()
        if memory.last is not None and memory.last.report.boot_id != settings.boot_id:
            self._charge((chip, chip.blind(now.elapsed_ms)) for chip in self.meter.chips)
        self.retiring = Retiring(self.chain, self._faults)
        self._leave_if_over()

    def carry_over(self, kept: CarriedOver) -> list[PeerError]:
        """Before the first step: go on with what an earlier run was left; what did not hold."""
        return carry_over(kept, self.authorities, self.lanes, self.settings, **self._times)

    # ------------------------------------------------------------------ time

    @property
    def running_ms(self) -> int:
        """Gate running time since enrolment, restarts added up."""
        return self._running_after_ms + self._clock.now.elapsed_ms

    @property
    def enrolled(self) -> bool:
        """Whether an authority rules this host: it admitted it, and has not let it go."""
        return bool(self._admitted)

    @property
    def free(self) -> Denied:
        """Why nothing is enforced while nobody rules this host."""
        return self._lanes.free

    @property
    def elapsed_ms(self) -> int:
        """The latest moment this core has heard of."""
        return self._clock.now.elapsed_ms

    @property
    def behind_ms(self) -> int:
        """How far the host's clock has been set back: the caller's times are less by so much."""
        return self._clock.behind_ms

    @property
    def in_force(self) -> PhaseInForce:
        """How far rules bite, as of the last step; before it, as far as they can."""
        return self._lanes.in_force or UNKNOWN

    def whole(self, workload: str) -> Allowed | Denied:
        """What a lane may do, were all that is left of licenses reserved."""
        return whole(workload, self._ruling(self.authorities.values()), **self._times)

    @property
    def runs_on_licenses(self) -> bool:
        """Whether the ledger alone holds all that every lane is permitted by."""
        needed = {one.name for one in self._rulers}
        lanes = [name for name, lane in self.lanes.items() if lane.setting.chips]
        by = [self.permissions.get(name) for name in lanes]
        return bool(by) and all(
            isinstance(one, Allowed) and needed <= {*one.licensed_by} for one in by
        )

    @property
    def must_stand(self) -> bool:
        """Whether rules bite and not every lane is verified to stand still yet."""
        states = {lane.state for lane in self.lanes.values()}
        return self.in_force.bites and not states <= {LaneState.HALTED}

    def has_fault(self, reason: str) -> bool:
        """Whether this fault stops the host now."""
        return reason in self._faults

    def asked(self, now: Now) -> None:
        """The caller asked the sampler: counters are due from here on."""
        self.meter.asked(now.elapsed_ms + self._clock.behind_ms)

    @property
    def look_by_ms(self) -> int:
        """Host elapsed time by which counters must be read: nothing unseen matters until then."""
        return self.meter.look_by_ms - self._clock.behind_ms

    def get_timer(self) -> int:
        """Host elapsed time at which `handle_timer` must be called at the latest."""
        return max(self._due_ms, self.elapsed_ms) - self._clock.behind_ms

    @property
    def _due_ms(self) -> int:
        rulers, now_ms, running_ms = self._rulers, self.elapsed_ms, self.running_ms
        times_ms = [self.meter.stall_ms, *self._reports_ms(rulers)]
        if self._admitted:
            times_ms += self._lanes.timers_ms(rulers, now_ms=now_ms, running_ms=running_ms)
            times_ms += ordering.due_ms(self._admitted, now_ms=now_ms, running_ms=running_ms)
        return min(times_ms)

    # ------------------------------------------------------------------ inside

    @property
    def _times(self) -> dict[str, int]:
        now_ms = self._clock.now.elapsed_ms
        return {"now_ms": now_ms, "running_ms": self._running_after_ms + now_ms}

    def _ruling(self, among: Iterable[Authority]) -> list[Authority]:
        return ruling(among, self.running_ms)

    @property
    def _rulers(self) -> list[Authority]:
        """Those that admitted this host and whose permission is needed now."""
        return ruling(self._admitted, self.running_ms)

    @property
    def _moment(self) -> Moment:
        return make_moment(
            running_ms=self.running_ms, boot_id=self.settings.boot_id, elapsed_ms=self.elapsed_ms
        )

    def _take_order(self, authority: Authority, envelope: Envelope) -> list[Action]:
        now_ms, running_ms = self.elapsed_ms, self.running_ms
        return ordering.take_order(authority, envelope, now_ms=now_ms, running_ms=running_ms)

    def _charge(self, charges: Iterable[Charge]) -> None:
        self._lanes.charge(charges, charged_figure(self._ruling(self.authorities.values())))

    def _step(self) -> list[Action]:
        owed, self._owed = self._owed, []
        owed += ordering.come_into_force(
            self.authorities.values(), now_ms=self.elapsed_ms, running_ms=self.running_ms
        )
        rulers = self._leave_if_over()
        actions = [*owed, *self._step_lanes(rulers), *self._report_if_due(rulers)]
        self._plan_look(rulers)
        return actions

    def _leave_if_over(self) -> list[Authority]:
        """Let go of authorities that let this host go; whose permission is needed then."""
        rulers = self._rulers
        if rulers and self.retiring.over(rulers, self.lanes, self.running_ms):
            self._admitted, rulers = [], []
            self._lanes.be_free(RETIRED)
            self._owed.append(Tell(event=RETIRED.reason, subject="", detail=RETIRED.detail))
        return rulers

    def _step_lanes(self, rulers: list[Authority]) -> list[Action]:
        if not self._admitted:
            return self._lanes.let_go()
        if self.retiring.asked:
            self._lanes.enforce()
        everyone, fault = self.authorities.values(), self._faults.first
        now_ms, running_ms = self.elapsed_ms, self.running_ms
        # One that was joined and has not admitted the host denies: it has its say with the others.
        ruled = rulers if len(self._admitted) == len(everyone) else self._ruling(everyone)
        actions = self.licensing.before(
            self.lanes,
            everyone,
            ruled,
            self.chain,
            held_up=fault is not None,
            now_ms=now_ms,
            running_ms=running_ms,
        )
        actions += self._lanes.step(ruled, fault, now_ms=now_ms, running_ms=running_ms)
        self.licensing.after(self.lanes, self.permissions, everyone, now_ms)
        # What was not used is released by the report of the halt.
        self.chain.overdue |= self._lanes.halted
        return actions

    def _plan_look(self, rulers: list[Authority]) -> None:
        """By when the counters must be read, as things stand after a step."""
        now_ms, times_ms = self.elapsed_ms, self._lanes.look_by_ms()
        if not self._admitted:
            times_ms = [self.meter.covered_ms + self.settings.sample_interval_ms]
        self.meter.plan(max(now_ms, min(times_ms + self._reports_ms(rulers))), now_ms)

    def _reports_ms(self, rulers: list[Authority]) -> list[int]:
        """When reports are due: each should tell what was done up to then."""
        if not self._may_report:
            return []
        lanes = self.lanes.values()
        return [self.chain.next_ms, *asking.request_times_ms(rulers, lanes, self.settings)]

    @property
    def _may_report(self) -> bool:
        # From the first enrolment on: the authority that admits the host counts from there.
        return self.chain.sequence > 0 and not (self.chain.ended or self._faults.mute)

    def _report_if_due(self, rulers: list[Authority]) -> list[Action]:
        if not self._may_report:
            return []
        lanes, now_ms = self.lanes.values(), self.elapsed_ms
        if self.retiring.may_end(lanes):
            authorities, floor = self.authorities.values(), self.chain.sequence
            gone = self.licensing.give_up(authorities, floor, self.meter.covered_ms)
            return [*gone, *self._append(None, final=True)]
        request = asking.request_if_due(rulers, lanes, self.settings, now_ms)
        if request is None and not self.chain.due(now_ms):
            return []
        return self._append(request)

    def _append(self, request: Request | None, *, final: bool = False) -> list[Action]:
        return self.chain.append(
            tuple(self.lanes.values()),
            self.meter.chips,
            self._admitted,
            self.findings.drain(),
            running_ms=self.running_ms,
            request=request,
            now=self._clock.now,
            final=final,
            spent_counter=self.licensing.number,
        )
