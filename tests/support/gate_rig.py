"""One gate core on a virtual clock, with hardware that keeps the truth and real signatures.

``rig.run(ms)`` plays a gate's loop: looks, timers, answers that arrive when the test's network
says so. What was kept lies in a real ledger in memory; `GateRig.restart` reads it back.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flopgate_agent.gate.actions import (
    Action,
    Deny,
    Freeze,
    KeepEnrolment,
    KeepLicenses,
    KeepOrder,
    KeepQuote,
    KeepReport,
    KeepTime,
    Kill,
    Notify,
    Restore,
    SendReport,
    Slow,
    Tell,
    Thaw,
)
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.lanes.lane import Lane
from flopgate_agent.gate.settings import Chip, GateSettings, LaneSetting, Now
from flopgate_agent.ledger import Ledger
from flopgate_agent.tpm.anchored import Keeper
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.codec import decode_answer, decode_report
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import PeerError
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import Ceiling, ChipIdentity, LaneState, Report
from tests.support.fixed import BOOT_ID, COURIER_KEY, HOST_ID, HOST_KEY, SOFTWARE, WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_hardware import H100_NAME, H100_PCI_ID, UUID, Hardware, h100

START_MS = 1_000_000
WALL_UNIX_MS = 1_800_000_000_000
LOADED_MS = 86_400_000
"""For so long the driver counts when a rig begins: no reset can pass for it after a short gap."""

Network = Callable[[GateAuthority, Report], int | None]
"""Milliseconds until the answer to a report arrives; ``None``: it never does."""


def at_once(_authority: GateAuthority, _report: Report) -> int | None:
    """A network of 10 ms."""
    return 10


def cut(_authority: GateAuthority, _report: Report) -> int | None:
    """No network."""
    return None


def settings(chips: int = 1, **fields: Any) -> GateSettings:
    """A host of H100s with one lane over all of them."""
    base = GateSettings(
        host_spki=HOST_KEY.spki,
        host_id=HOST_ID,
        signer=HOST_KEY,
        boot_id=BOOT_ID,
        run_nonce=bytes([1] * 16),
        salt_secret=bytes([2] * 32),
        chips=tuple(
            Chip(
                identity=ChipIdentity(
                    vendor="NVIDIA",
                    uuid=UUID.format(number),
                    serial="",
                    pdi=None,
                    name=H100_NAME,
                    pci_device_id=H100_PCI_ID,
                ),
                spec=h100(),
            )
            for number in range(chips)
        ),
        lanes=(LaneSetting(workload=WORKLOAD, chips=tuple(range(chips))),),
        software=SOFTWARE,
        driver_version="570.124.06",
    )
    return replace(base, **fields)


@dataclass(order=True, slots=True)
class _Arrival:
    at_ms: int
    number: int
    authority: str
    proven: ProvenAnswer


class GateRig:
    """A host in a test's hands.

    Attributes:
        network: decides about each answer when its report leaves; replace it at any time.
        actions: everything the core wanted, with its host time.
        reports: every report that left, oldest first.
        deadline_ms: until when any permission that reached the gate allows work.
        lateness_ms: how late timers are served, as on a busy host.
        silent: the sampler says nothing.
        refused: answers that the network brought and the gate did not take.
        ceilings: every ceiling that reached the gate for its first lane.
    """

    def __init__(
        self,
        *authorities: GateAuthority,
        base: GateSettings | None = None,
        ledger: Ledger | None = None,
        network: Network = at_once,
    ) -> None:
        self.settings = base or settings()
        self.now_ms = START_MS
        self.wall_unix_ms = WALL_UNIX_MS
        self.authorities = {one.name: one for one in authorities or (GateAuthority(),)}
        self.hardware = Hardware(len(self.settings.chips), START_MS, LOADED_MS)
        self.ledger = ledger or Ledger(":memory:")
        self.keeper: Keeper
        self.network = network
        self.actions: list[tuple[int, Action]] = []
        self.reports: list[Envelope] = []
        self.lateness_ms = 0
        self.silent = False
        self.refused: list[PeerError] = []
        self.ceilings: list[int] = []
        self._known: set[int] = set()
        self._arrivals: list[_Arrival] = []
        self._deadlines: dict[str, int] = {}
        self._asked_ms = START_MS
        self.core = self._new_core()

    @property
    def now(self) -> Now:
        """This moment."""
        return Now(elapsed_ms=self.now_ms, wall_unix_ms=self.wall_unix_ms)

    @property
    def authority(self) -> GateAuthority:
        """The first authority."""
        return next(iter(self.authorities.values()))

    @property
    def lane(self) -> Lane:
        """The first lane."""
        return next(iter(self.core.lanes.values()))

    @property
    def state(self) -> LaneState:
        """Of the first lane."""
        return self.lane.state

    @property
    def deadline_ms(self) -> int:
        """The least of what every authority allowed at most, 0 before the first permission."""
        return min(self._deadlines.get(name, 0) for name in self.authorities)

    @property
    def highest_ceiling_tflop(self) -> int:
        """The highest ceiling that ever reached the gate."""
        return max(self.ceilings, default=0)

    def _new_core(self, ran_ms: int = 0, kept_ms: int = 0) -> GateCore:
        tokens = [one.token() for one in self.authorities.values()]
        self.keeper = self.ledger
        memory = replace(self.ledger.load(), ran_ms=ran_ms, kept_ms=kept_ms)
        return GateCore(self.settings, memory, tokens, self.now)

    # ------------------------------------------------------------------ what a test does

    def enrol(self) -> GateRig:
        """Join every authority and take what they say."""
        for authority in self.authorities.values():
            self.admit(authority, self.ask(authority))
        return self

    def ask(self, authority: GateAuthority, courier: SigningKey = COURIER_KEY) -> Envelope:
        """The enrolment with which the host asks for admission."""
        self.carry_out(self.core.enrol(authority.name, courier.spki, self.now))
        enrolment = self.core.authorities[authority.name].enrolment
        if enrolment is None:
            raise AssertionError(authority.name)
        return enrolment

    def admit(self, authority: GateAuthority, enrolment: Envelope) -> None:
        """The admission that answers an enrolment arrives."""
        admission, orders = authority.admission(enrolment), authority.first_orders()
        self.carry_out(self.core.admission(authority.name, admission, orders, self.now))

    def order(self, envelope: Envelope, authority: GateAuthority | None = None) -> None:
        """An order arrives."""
        name = (authority or self.authority).name
        self.carry_out(self.core.order(name, envelope, self.now))

    def answer(self, proven: ProvenAnswer, authority: GateAuthority | None = None) -> None:
        """An answer arrives."""
        name = (authority or self.authority).name
        self.carry_out(self.core.answer(name, proven, self.now))

    def run(self, span_ms: int) -> GateRig:
        """Let time pass, as the gate's loop would."""
        end_ms = self.now_ms + span_ms
        while True:
            at_ms = min(self._next_ms(), end_ms)
            if at_ms >= end_ms:
                self.pass_time(end_ms)
                return self
            self.pass_time(at_ms)
            self._serve()

    def run_until(self, state: LaneState, most_ms: int = 60_000) -> GateRig:
        """Let time pass until the first lane is in a state."""
        end_ms = self.now_ms + most_ms
        while self.state is not state:
            if self.now_ms >= end_ms:
                raise AssertionError(f"{self.state.name} and not {state.name}: {self.lane.why}")
            self.run(max(1, min(self._next_ms() - self.now_ms + 1, end_ms - self.now_ms)))
        return self

    def run_until_request(self, *, asking: bool = True) -> GateRig:
        """Cut the network, and let time pass until one more report asks, or one does not."""
        self.network, seen = cut, len(self.reports)
        while not any(
            (decode_report(report.payload).request is not None) is asking
            for report in self.reports[seen:]
        ):
            seen = len(self.reports)
            if not asking:
                self.core.chain.overdue = True
            self.run(max(1, self._next_ms() - self.now_ms + 1))
        return self

    def pass_time(self, to_ms: int) -> None:
        """Only the clock and the hardware move."""
        self.wall_unix_ms += max(0, to_ms - self.now_ms)
        self.now_ms = max(self.now_ms, to_ms)
        self.hardware.advance(self.now_ms)

    def restart(
        self,
        *,
        boot_id: bytes | None = None,
        away_ms: int = 0,
        ran_ms: int = 0,
        kept_ms: int = 0,
    ) -> GateRig:
        """The gate dies here and comes back after a while; a boot id means that the host did.

        ``ran_ms``: the gate running time that its lease told last; ``kept_ms``: that on its disk.
        """
        self.pass_time(self.now_ms + away_ms)
        nonce = bytes([self.settings.run_nonce[0] + 1] * 16)
        self.settings = replace(self.settings, run_nonce=nonce)
        if boot_id is not None:
            self.settings = replace(self.settings, boot_id=boot_id)
            self._reboot()
        self._known, self._arrivals = set(), []
        self._asked_ms = self.now_ms
        self.core = self._new_core(ran_ms, kept_ms)
        return self

    def _reboot(self) -> None:
        # A boot takes its time on every clock.
        old, self.now_ms = self.hardware, 5_000
        self.wall_unix_ms += self.now_ms
        self.hardware = Hardware(len(old.chips), 0)
        self.hardware.now_ms = self.now_ms
        self._deadlines.clear()

    # ------------------------------------------------------------------ what a test looks at

    def done(self, *kinds: type[Action]) -> list[Action]:
        """Actions of these kinds so far."""
        return [action for _, action in self.actions if isinstance(action, kinds)]

    def last_report(self) -> Report:
        """The newest report that left."""
        return decode_report(self.reports[-1].payload)

    def work_since(self, since_ms: int) -> bool:
        """Whether any compute pipe was busy after a moment."""
        return any((last_ms or 0) > since_ms for last_ms in self.hardware.last_work_ms)

    # ------------------------------------------------------------------ the loop

    def _next_ms(self) -> int:
        times = [self.core.get_timer() + self.lateness_ms]
        times.append(self._next_look_ms)
        if self._arrivals:
            times.append(self._arrivals[0].at_ms)
        return max(min(times), self.now_ms)

    @property
    def _next_look_ms(self) -> int:
        # As the gate's process: a steady rhythm, and sooner where the core asks for it.
        rhythm_ms = self._asked_ms + self.settings.sample_interval_ms
        return rhythm_ms if self.silent else min(rhythm_ms, self.core.look_by_ms)

    def _serve(self) -> None:
        while self._arrivals and self._arrivals[0].at_ms <= self.now_ms:
            arrival = heapq.heappop(self._arrivals)
            self._note_deadline(arrival)
            try:
                self.answer(arrival.proven, self.authorities[arrival.authority])
            except PeerError as error:
                self.refused.append(error)
        if self.now_ms >= self._next_look_ms:
            self._asked_ms = self.now_ms
            self.core.asked(self.now)
            if not self.silent:
                self.carry_out(self.core.samples(self.hardware.sample(), self.now))
        if self.now_ms >= self.core.get_timer() + self.lateness_ms:
            self.carry_out(self.core.handle_timer(self.now))

    def _note_deadline(self, arrival: _Arrival) -> None:
        answer = decode_answer(arrival.proven.payload)
        self.ceilings += [
            verdict.outcome.ceiling_tflop
            for verdict in answer.verdicts
            if isinstance(verdict.outcome, Ceiling)
        ]
        if answer.terms is None:
            return
        made_ms = next(
            decode_report(sent.payload).made_ms
            for sent in self.reports
            if sent.digest == answer.request_digest
        )
        until_ms = made_ms + answer.terms.lifetime_ms
        known_ms = self._deadlines.get(arrival.authority, 0)
        self._deadlines[arrival.authority] = max(known_ms, until_ms)

    def carry_out(self, actions: Sequence[Action]) -> None:
        """What a gate's process does with actions, in their order."""
        for action in actions:
            self.actions.append((self.now_ms, action))
            match action:
                case KeepReport():
                    self.keeper.keep(action)
                    self.reports.append(action.envelope)
                case KeepOrder() | KeepQuote() | KeepEnrolment() | KeepLicenses() | KeepTime():
                    self.keeper.keep(action)
                case SendReport():
                    self._send(self.reports[-1])
                case Freeze():
                    self._hold(action.pids)
                case Thaw():
                    self.hardware.thaw(self._known)
                case Kill():
                    self.hardware.kill(self._known | set(action.pids))
                case Deny() | Slow() | Restore() | Notify() | Tell():
                    pass

    def _hold(self, pids: Iterable[int]) -> None:
        self._known |= set(pids)
        self.hardware.freeze(self._known)

    def _send(self, envelope: Envelope) -> None:
        report = decode_report(envelope.payload)
        for authority in self.authorities.values():
            known = self.core.authorities.get(authority.name)
            delay_ms = self.network(authority, report)
            # Before the admission no courier has a link.
            if delay_ms is not None and known is not None and known.admitted:
                arrival = _Arrival(
                    self.now_ms + delay_ms,
                    len(self.actions),
                    authority.name,
                    authority.answer(envelope),
                )
                heapq.heappush(self._arrivals, arrival)


def running(*authorities: GateAuthority, base: GateSettings | None = None) -> GateRig:
    """A host whose lane runs, with one process that keeps every chip busy."""
    rig = GateRig(*authorities, base=base)
    for chip in rig.hardware.chips:
        rig.hardware.start(pid=100 + chip, chip=chip)
    return rig.enrol().run_until(LaneState.RUNNING)
