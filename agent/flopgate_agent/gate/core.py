"""The gate: counters, answers, orders and time go in; actions come out.

All decisions of a host are taken here, without clock, entropy, file, socket or thread. The caller
carries out `Action`s in order; when one that keeps something fails, it drops the rest and calls
`fault`. It calls `handle_timer` no later than `get_timer` says.

Laws served here: 1 (expiry by elapsed time since the request was made), 3 (every chip and interval
measured or charged), 4 (one chain, quotes), 7 (nothing unsigned acts), 8 (faults stop), 9 (durable
before it leaves).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.gate import asking, enrolling, ordering
from flopgate_agent.gate.actions import Action, KeepEnrolment, Tell
from flopgate_agent.gate.allowance import Denied
from flopgate_agent.gate.answers import check_answer, keep_quote, take_answer
from flopgate_agent.gate.authority import Authority, admitted, known, needless_sequence, required
from flopgate_agent.gate.carrying import Kept
from flopgate_agent.gate.chain import Chain
from flopgate_agent.gate.clock import HostClock
from flopgate_agent.gate.faults import DRIVER_SILENT, Faults
from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.host_lanes import HostLanes, charged_figure
from flopgate_agent.gate.host_meter import Charge, HostMeter
from flopgate_agent.gate.memory import Memory, Moment
from flopgate_agent.gate.phases import UNKNOWN, InForce
from flopgate_agent.gate.resuming import begin, carry_over, resume, resume_clock, running_before
from flopgate_agent.gate.retiring import RETIRED, Retiring
from flopgate_agent.gate.seats import entitled, ruling
from flopgate_agent.gate.settings import GateSettings, GateToken, Now
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import PeerError
from flopgate_proto.values import LaneState, Request, Severity


class GateCore:
    """One host. Not thread-safe; every method takes ``now`` and may raise ``ClockError``.

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
        self._started_ms = now.elapsed_ms
        self.meter = HostMeter(settings, self.findings, now.elapsed_ms)
        self.chain = Chain(settings, now.elapsed_ms)
        self._oldest_sequence = memory.oldest_sequence
        self._running_before_ms = running_before(memory, settings, now)
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
            authority.resume_time(self._moment)
        if not self._admitted:
            self._lanes.be_free()
        if memory.last is not None and memory.last.report.boot_id != settings.boot_id:
            self._charge((chip, chip.blind(now.elapsed_ms)) for chip in self.meter.chips)
        self.retiring = Retiring(self.chain, self._faults)
        self._leave_if_over()

    def carry_over(self, kept: Kept) -> list[PeerError]:
        """Before the first step: go on with what an earlier run was left; what did not hold."""
        return carry_over(kept, self.authorities, self.lanes, self.settings, **self._times)

    # ------------------------------------------------------------------ what goes in

    def samples(self, samples: Sequence[ChipSample], now: Now) -> list[Action]:
        """One look at the counters: measure, charge, and act on it."""
        now = self._clock.advance(now)
        self.meter.answered()
        if self._clock.behind_ms:
            # Samples carry the host's own clock: of one that stepped back they prove no count.
            self.meter.note_processes(samples)
            self._charge(self.meter.blind(now.elapsed_ms))
        else:
            self._charge(self.meter.look(samples, now.elapsed_ms))
        self._faults.clear(DRIVER_SILENT)
        return self._step()

    def answer(self, authority_name: str, proven: ProvenAnswer, now: Now) -> list[Action]:
        """An answer of an authority.

        Raises:
            PeerError: it does not hold; nothing has changed.
        """
        now = self._clock.advance(now)
        authority = known(self.authorities, authority_name)
        accepted = check_answer(
            proven,
            authority,
            self.settings,
            self.chain.sent,
            running_ms=self.running_ms,
            now_ms=now.elapsed_ms,
        )
        if accepted is None:
            return []
        take_answer(accepted, authority, now.elapsed_ms)
        if accepted.rules:
            asking.plan_renewal(authority, now.elapsed_ms)
            request = self.chain.requests.get(accepted.verified.answer.request_digest)
            authority.last_answer = None if request is None else (request, proven)
        if accepted.late:
            self.findings.add("permit.late", Severity.INFO, subject=authority_name)
        authority.heard_running_ms = self.running_ms
        needless = needless_sequence(entitled(self.authorities.values()))
        self.chain.forget(needless)
        return [keep_quote(authority, proven, needless, self._moment), *self._step()]

    def order(self, authority_name: str, envelope: Envelope, now: Now) -> list[Action]:
        """An order of officers, from whichever courier.

        Raises:
            PeerError: it does not hold; nothing has changed.
        """
        now = self._clock.advance(now)
        authority = known(self.authorities, authority_name)
        actions = self._take_order(authority, envelope)
        return [*actions, *self._step()]

    def admission(
        self, authority_name: str, admission: Envelope, orders: Sequence[Envelope], now: Now
    ) -> list[Action]:
        """What `Enroll` returned: trust root, delegation and policy first, then the admission.

        Raises:
            PeerError: it does not hold; orders that held stay, the host is not admitted. They are
            kept with the next actions.
        """
        now = self._clock.advance(now)
        authority = known(self.authorities, authority_name)
        token = self.tokens.get(authority_name)
        for envelope in orders:
            if token is not None and authority.pin_if_first(envelope, token.trust_root_digest):
                self._owed.append(ordering.keep(authority, envelope, self.running_ms))
            else:
                self._owed += self._take_order(authority, envelope)
        said = enrolling.check_admission(admission, authority, self.settings, self.running_ms)
        enrolling.hear_admission(said, authority, self.settings, now.elapsed_ms)
        authority.heard_running_ms = self.running_ms
        if not authority.admitted and authority.enrolment is not None:
            authority.admitted = True
            self._admitted = admitted(self.authorities.values())
            self.chain.introduce()
            authority.next_request_ms = now.elapsed_ms
            tell = Tell(event="host.admitted", subject=authority_name, detail="")
            self._owed += [self._keep_enrolment(authority, authority.enrolment), tell]
        return self._step()

    def enrol(self, authority_name: str, courier_spki: bytes, now: Now) -> list[Action]:
        """The statement with which this host asks for admission, or a new TLS certificate.

        It is in ``authorities[name].enrolment`` once the returned actions are carried out.
        """
        now = self._clock.advance(now)
        authority = known(self.authorities, authority_name)
        token = enrolling.token_of(self.tokens, authority_name)
        if self._faults.mute or self.chain.ended:
            # The chain may end at a report that was never kept, or at its last: none goes on there.
            return []
        earlier = enrolling.earlier_start(authority, self._oldest_sequence, self.chain.sequence)
        if earlier and enrolling.still_asks(authority, token, courier_spki):
            return []
        actions: list[Action] = []
        if all(one.enrolment is None for one in self.authorities.values()):
            if self.chain.sequence == 0:
                begin(self.chain, self.meter, self.lanes.values(), now.elapsed_ms)
            # Nobody counts what was before: the account starts here, with a report of now.
            actions = self._append(None)
        start = earlier or enrolling.start_at_end(self.chain, self.settings, now.elapsed_ms)
        if earlier is None or authority.admitted:
            authority.asked = ()
        envelope = enrolling.ask(authority, self.settings, token, courier_spki, start)
        return [*actions, self._keep_enrolment(authority, envelope)]

    def retire(self, now: Now) -> list[Action]:
        """The host's own people take it out of service.

        Raises:
            EnvironmentFault: it cannot retire now; nothing has changed.
        """
        self._clock.advance(now)
        self.retiring.ask(self._admitted, self.lanes, self.running_ms)
        return self._step()

    def fault(self, reason: str, detail: str, way_back: str, now: Now) -> list[Action]:
        """Something the gate cannot work without is gone: stop everything (law 8)."""
        self._clock.note(now)
        self._faults.set(reason, detail, way_back)
        # A freeze may be among what a failed keep voided.
        self._lanes.lose_hold()
        actions = self._step_lanes()
        self._plan_look()
        return actions

    # ------------------------------------------------------------------ time

    @property
    def running_ms(self) -> int:
        """Gate running time since enrolment, restarts added up."""
        return self._running_before_ms + self.elapsed_ms - self._started_ms

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
    def in_force(self) -> InForce:
        """How far rules bite, as of the last step; before it, as far as they can."""
        return self._lanes.in_force or UNKNOWN

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
        times_ms = []
        if self.enrolled:
            times_ms = self._lanes.timers_ms(self._ruling(self._admitted), **self._times)
            times_ms += ordering.due_ms(self._admitted, **self._times)
        return min([self.meter.stall_ms, *self._reports_ms(), *times_ms])

    def went_back(self, now: Now) -> bool:
        """Whether the host's clock went back: waiting for it would leave the chips unwatched."""
        return now.elapsed_ms + self._clock.behind_ms < self.elapsed_ms

    def handle_timer(self, now: Now) -> list[Action]:
        """Time has passed."""
        now = self._clock.advance(now)
        if now.elapsed_ms >= self.meter.stall_ms:
            self._go_blind(now)
        return self._step()

    def _go_blind(self, now: Now) -> None:
        """The counters are silent: charge the time at once, stop when it lasts (laws 3 and 8)."""
        self.meter.asked(self.meter.due_since_ms)
        self._charge(self.meter.blind(now.elapsed_ms))
        silent_ms = now.elapsed_ms - self.meter.due_since_ms
        self._faults.driver_silent(silent_ms, asking.watchdog_ms_of(self._ruling(self._admitted)))

    # ------------------------------------------------------------------ inside

    @property
    def _times(self) -> dict[str, int]:
        return {"now_ms": self.elapsed_ms, "running_ms": self.running_ms}

    def _ruling(self, among: Iterable[Authority]) -> list[Authority]:
        return ruling(among, self.running_ms)

    @property
    def _moment(self) -> Moment:
        boot_id = self.settings.boot_id
        return Moment(running_ms=self.running_ms, boot_id=boot_id, elapsed_ms=self.elapsed_ms)

    def _keep_enrolment(self, authority: Authority, envelope: Envelope) -> KeepEnrolment:
        return enrolling.keep(authority, envelope, self._moment)

    def _take_order(self, authority: Authority, envelope: Envelope) -> list[Action]:
        return ordering.take_order(authority, envelope, **self._times)

    def _charge(self, charges: Iterable[Charge]) -> None:
        self._lanes.charge(charges, charged_figure(self._ruling(self.authorities.values())))

    def _step(self) -> list[Action]:
        owed, self._owed = self._owed, []
        owed += ordering.come_into_force(self.authorities.values(), **self._times)
        actions = [*owed, *self._step_lanes(), *self._report_if_due()]
        self._plan_look()
        return actions

    def _leave_if_over(self) -> None:
        if self._admitted and self.retiring.over(self._admitted, self.lanes, self.running_ms):
            self._admitted = []
            self._lanes.be_free(RETIRED)
            self._owed.append(Tell(event=RETIRED.reason, subject="", detail=RETIRED.detail))

    def _step_lanes(self) -> list[Action]:
        self._leave_if_over()
        if not self.enrolled:
            return self._lanes.let_go()
        if self.retiring.asked:
            self._lanes.enforce()
        actions = self._lanes.step(
            self._ruling(self.authorities.values()),
            self._faults.first,
            **self._times,
        )
        # What was not used is released by the report of the halt.
        self.chain.overdue |= self._lanes.halted
        return actions

    def _plan_look(self) -> None:
        """By when the counters must be read, as things stand after a step."""
        now_ms, times_ms = self.elapsed_ms, self._lanes.look_by_ms()
        if not self.enrolled:
            times_ms = [self.meter.covered_ms + self.settings.sample_interval_ms]
        self.meter.plan(max(now_ms, min(times_ms + self._reports_ms())), now_ms)

    def _reports_ms(self) -> list[int]:
        """When reports are due: each should tell what was done up to then."""
        if not self._may_report:
            return []
        rulers, lanes = self._ruling(self._admitted), self.lanes.values()
        return [self.chain.next_ms, *asking.request_times_ms(rulers, lanes, self.settings)]

    @property
    def _may_report(self) -> bool:
        # From the first enrolment on: the authority that admits the host counts from there.
        return self.chain.sequence > 0 and not (self.chain.ended or self._faults.mute)

    def _report_if_due(self) -> list[Action]:
        if not self._may_report:
            return []
        rulers, lanes, now_ms = self._ruling(self._admitted), self.lanes.values(), self.elapsed_ms
        if self.retiring.may_end(lanes):
            return self._append(None, final=True)
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
        )
