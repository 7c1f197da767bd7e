"""The gate: counters, answers, orders and time go in; actions come out.

All decisions of a host are taken here, without clock, entropy, file, socket or thread. The caller
carries out `Action`s in order; when one that keeps something fails, it drops the rest and calls
`fault`. It calls `handle_timer` no later than `get_timer` says.

Laws served here: 1 (expiry by elapsed time since the request was made), 3 (every chip and
interval measured or charged), 4 (one chain, quotes), 7 (nothing unsigned acts), 8 (faults stop),
9 (durable before it leaves).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.gate.actions import Action, KeepTime, Tell
from flopgate_agent.gate.authorities import ordering
from flopgate_agent.gate.authorities.authority import Authority, admitted, known
from flopgate_agent.gate.authorities.claimed import claimed_authority
from flopgate_agent.gate.authorities.license import Asked
from flopgate_agent.gate.authorities.told_time import BEHIND, ToldTime
from flopgate_agent.gate.faults import DRIVER_SILENT
from flopgate_agent.gate.gate_state import GateState
from flopgate_agent.gate.lanes import asking
from flopgate_agent.gate.licenses.checking import (
    LicenseFile,
    check_addressed,
    check_license,
    check_opening,
    corrected_time,
)
from flopgate_agent.gate.lifecycle import enrolling
from flopgate_agent.gate.lifecycle.resuming import begin
from flopgate_agent.gate.reports.answers import Accepted, check_answer, take_answer, take_licensed
from flopgate_agent.gate.settings import Now
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.codec import PayloadType, decode_trusted_time
from flopgate_proto.envelope import Envelope, verify
from flopgate_proto.errors import EnvironmentFault, HistoryError, MisdirectedError
from flopgate_proto.values import LicenseWish, Request, Severity


class GateCore(GateState):
    """One host. Not thread-safe; every method takes ``now`` and may raise ``ClockError``."""

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
        self._note_clock(authority, accepted, now.elapsed_ms)
        take_answer(accepted, authority, now.elapsed_ms)
        authority.heard_running_ms = self.running_ms
        if accepted.rules:
            asking.plan_renewal(authority, now.elapsed_ms)
            asked = accepted.verified.answer.request_digest
            request = self.chain.requests.get(asked)
            authority.last_answer = None if request is None else (request, proven)
            authority.ruled_sequence = self.chain.sent[asked].sequence
            self.chain.overtake(min([one.ruled_sequence for one in self.authorities.values()]))
        if accepted.late:
            self.findings.add("permit.late", Severity.INFO, subject=authority_name)
        return [self._keep_quote(authority, proven), *self._step()]

    def _note_clock(self, authority: Authority, accepted: Accepted, now_ms: int) -> None:
        unix_ms, made_ms = accepted.verified.answer.governor_unix_ms, accepted.made_ms
        behind_ms = authority.hear_clock(unix_ms, made_ms=made_ms, received_ms=now_ms)
        if behind_ms:
            self.findings.add(
                BEHIND, Severity.ALERT, subject=authority.name, detail=f"behind_ms={behind_ms}"
            )

    def order(self, authority_name: str, envelope: Envelope, now: Now) -> list[Action]:
        """An order of officers, from whichever courier.

        Raises:
            PeerError: it does not hold; nothing has changed.
        """
        now = self._clock.advance(now)
        authority = known(self.authorities, authority_name)
        taken = ordering.take_order(
            authority, envelope, now_ms=now.elapsed_ms, running_ms=self.running_ms
        )
        return [*taken, *self._step()]

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
        for action in enrolling.first_orders(authority, token, admission, orders, **self._times):
            self._owed.append(action)
        said = enrolling.check_admission(admission, authority, self.settings, self.running_ms)
        enrolling.hear_admission(said, authority, self.settings, now.elapsed_ms)
        if not authority.admitted and authority.enrolment is not None:
            # Only the first: the same one, brought again and again, is no new word.
            authority.heard_running_ms = self.running_ms
            authority.admitted = True
            self._admitted = admitted(self.authorities.values())
            self.chain.introduce()
            authority.next_request_ms = now.elapsed_ms
            tell = Tell(event="host.admitted", subject=authority_name, detail="")
            kept = enrolling.keep(authority, authority.enrolment, heard=self._moment)
            self._owed += [kept, tell]
        return self._step()

    def enrol(self, authority_name: str, courier_spki: bytes, now: Now) -> list[Action]:
        """The statement with which this host asks for admission, or a new TLS certificate.

        It is in ``authorities[name].enrolment`` once the returned actions are carried out.

        Raises:
            PeerError: no such authority or token, or no such key; nothing has changed.
        """
        now = self._clock.advance(now)
        authority = known(self.authorities, authority_name)
        token = enrolling.token_of(self.tokens, authority_name)
        enrolling.check_courier_key(courier_spki)
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
        return [*actions, enrolling.keep(authority, envelope)]

    def retire(self, now: Now) -> list[Action]:
        """The host's own people take it out of service.

        Raises:
            EnvironmentFault: it cannot retire now; nothing has changed.
        """
        self._clock.advance(now)
        self.retiring.ask(self._rulers, self.lanes, self.running_ms)
        return self._step()

    # ------------------------------------------------------------------ licenses

    def ask_license(self, wish: LicenseWish, now: Now) -> list[Action]:
        """The host's own people want a license: a report asks for it.

        Raises:
            EnvironmentFault: no report can be made now; nothing has changed.
        """
        now = self._clock.advance(now)
        self._check_may_report()
        lanes = asking.wanted(self.lanes.values(), wish.span_ms)
        row = self.licensing.next_row()
        report = self._append(Request(lanes=lanes, license=wish))
        for authority in self._admitted:
            desk, told = authority.desk_of(reserve=wish.reserve), authority.told_time
            desk.standing = desk.standing.asks(
                Asked(
                    digest=self.chain.head,
                    sequence=self.chain.sequence,
                    run_nonce=self.settings.run_nonce,
                    boot_id=self.settings.boot_id,
                    made_ms=now.elapsed_ms,
                    reserve=wish.reserve,
                    allotted=self.chain.sent[self.chain.head].allotted,
                    told_unix_ms=0 if told is None else told.earliest_unix_ms(now.elapsed_ms),
                    running_ms=self.running_ms,
                )
            )
        return [self.licensing.keep(self.authorities.values(), row), *report, *self._step()]

    def _keep_quote(self, authority: Authority, proven: ProvenAnswer) -> Action:
        kept = ordering.keep_quote(authority, proven, self.authorities.values(), self._moment)
        self.chain.forget(kept.needless_sequence)
        return kept

    def _check_may_report(self) -> None:
        if not self.enrolled or not self._may_report:
            first = self._faults.first
            why = first.detail if first else "no authority has admitted this host"
            raise EnvironmentFault(
                f"nothing can be done with licenses now: {why}",
                code="license.no-report",
                remedy=first.way_back if first else self.free.way_back,
            )

    def license(self, found: LicenseFile, now: Now) -> list[Action]:
        """A license arrives, with what officers signed.

        Raises:
            PeerError: it does not hold; orders that held stay, nothing else has changed. They are
            kept with the next actions.
            EnvironmentFault: nothing can be written down or reported now.
        """
        now = self._clock.advance(now)
        self._check_may_report()
        authority = self._admitted_authority(found.authority)
        asked = check_addressed(found, authority, self.settings.host_id)
        for envelope in found.orders:
            # What a newer order has replaced since is no fault of the file's.
            with suppress(HistoryError):
                self._owed += self._take_order(authority, envelope)
        verified, held = check_license(found, asked, authority, self.settings, **self._times)
        actions = self._correct_time(authority, corrected_time(asked, held, **self._times))
        if verified.batch.batch_number > authority.newest_number:
            here = asked.boot_id == self.settings.boot_id
            made_ms = asked.made_ms if here else None
            take_licensed(verified, authority, made_ms=made_ms, received_ms=now.elapsed_ms)
            authority.heard_running_ms = self.running_ms
            actions.append(self._keep_quote(authority, found.proven))
        desk = authority.desk_of(reserve=held.reserve)
        desk.become(desk.standing.installed(held), now.elapsed_ms)
        self.chain.overdue = True
        told = Tell(event="license.held", subject=authority.name, detail=held.request.hex())
        return [*actions, self.licensing.keep(self.authorities.values()), told, *self._step()]

    def _correct_time(self, authority: Authority, corrected: ToldTime | None) -> list[Action]:
        """Officers' word goes before that of the online key, which is not in their hands alone."""
        if corrected is None:
            return []
        authority.told_time = corrected
        self.findings.add("time.corrected", Severity.ALERT, subject=authority.name)
        return self._keep_time(authority)

    def _keep_time(self, authority: Authority) -> list[Action]:
        kept = authority.time_to_keep(self._moment)
        return [] if kept is None else [KeepTime(authority=authority.name, time=kept)]

    def return_license(
        self, authority_name: str, now: Now, *, reserve: bool = False
    ) -> list[Action]:
        """The host's own people give back what they hold of an authority, or never got.

        Of its licenses, or of its reserves.

        Raises:
            PeerError: no such authority.
            EnvironmentFault: no report can say so now; nothing has changed.
        """
        self._clock.advance(now)
        authority = self._admitted_authority(authority_name)
        self._check_may_report()
        desk = authority.desk_of(reserve=reserve)
        desk.become(desk.standing.returned(self.chain.sequence), desk.idle_since_ms)
        self.chain.overdue = True
        return [self.licensing.keep(self.authorities.values()), *self._step()]

    def open_reserve(self, opening: Envelope, now: Now) -> list[Action]:
        """Enough of its openers open the reserve license that is held.

        Raises:
            PeerError: it does not hold, or its time has not come; nothing has changed.
            EnvironmentFault: nothing can be written down or reported now.
        """
        now = self._clock.advance(now)
        self._check_may_report()
        name = claimed_authority(PayloadType.RESERVE_OPENING, opening.payload)
        authority = self._admitted_authority(name)
        digest = check_opening(opening, authority, self._admitted, running_ms=self.running_ms)
        desk = authority.reserve_desk
        desk.become(desk.standing.opened(digest), now.elapsed_ms)
        self.findings.add("license.opened", Severity.ALERT, subject=name, detail=digest.hex())
        # It is the first thing that is reported from here on.
        self.chain.overdue = True
        return [self.licensing.keep(self.authorities.values()), *self._step()]

    def hear_time(self, envelope: Envelope, now: Now) -> list[Action]:
        """An authority's online key tells the time: it is no earlier, and nothing else changes.

        Raises:
            PeerError: it does not hold; nothing has changed.
        """
        now = self._clock.advance(now)
        name = claimed_authority(PayloadType.TRUSTED_TIME, envelope.payload)
        authority = self._admitted_authority(name)
        keys = authority.check_delegated(envelope, self.running_ms)
        told = decode_trusted_time(verify(envelope, PayloadType.TRUSTED_TIME, keys).payload)
        authority.hear_later(told.governor_unix_ms, now.elapsed_ms)
        return [*self._keep_time(authority), *self._step()]

    def settle_reserved(self, now: Now) -> list[Action]:
        """The run ends with every lane at a stand: what is reserved and was not used goes back."""
        now = self._clock.advance(now)
        if not self._may_report:
            return []
        report = self._append(None)
        back = self.licensing.give_back(self.authorities.values(), self.chain, now.elapsed_ms)
        return [*report, *back]

    def _admitted_authority(self, name: str) -> Authority:
        authority = known(self.authorities, name)
        if not authority.admitted:
            raise MisdirectedError(
                f"{name} has not admitted this host",
                code="authority.awaited",
                remedy="It goes on by itself once it is admitted: see the courier's log.",
            )
        return authority

    def fault(self, reason: str, detail: str, way_back: str, now: Now) -> list[Action]:
        """Something the gate cannot work without is gone: stop everything (law 8)."""
        self._clock.note(now)
        self._faults.set(reason, detail, way_back)
        # A freeze may be among what a failed keep voided.
        self._lanes.lose_hold()
        rulers = self._leave_if_over()
        actions = self._step_lanes(rulers)
        self._plan_look(rulers)
        return actions

    # ------------------------------------------------------------------ time

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
        self._faults.driver_silent(silent_ms, asking.watchdog_ms_of(self._rulers))
