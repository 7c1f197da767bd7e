"""The courier's side of one authority, without I/O: events and ``now`` go in, actions come out.

    DISCONNECTED   no gate, or it has not said yet which host it is
    ENROLLING      no usable certificate: waits for the gate's enrolment, or for the authority
    CONNECTING     the stream is being opened
    LINKED         reports go up, answers and orders come down
    BACKING_OFF    waits before the next attempt

1. ``_NEXT`` holds every change of state; whatever it does not list is an error of ours.
2. A stream belongs to one state of the gate's connection: without a gate there is no stream.
3. Every stream begins with the host's id and with asking the gate for what is unacknowledged.
4. Enrolment runs beside the stream: a renewal interrupts nothing until its certificate is there.
5. Answers and orders are carried as they came. Notices are advice: at most a report is asked for,
   or sent later.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping
from typing import Final

from flopgate_agent.courier.actions import (
    Action,
    CloseStream,
    Enroll,
    Loss,
    Note,
    Now,
    OpenStream,
    ToGate,
    Validity,
    Write,
)
from flopgate_agent.courier.backoff import Backoff
from flopgate_agent.courier.flow import ReportFlow
from flopgate_proto.codec.transport import parse_message
from flopgate_proto.errors import MisuseError
from flopgate_proto.limits import NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, TEXT_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

RESEND_MS: Final = 2000
ENROLMENT_WAIT_MS: Final = 10_000
"""How long the gate may take to sign an enrolment before it is asked again."""
CLOCK_CHECK_MS: Final = 3_600_000
"""A certificate is looked at this often, since the wall clock may be set."""


class State(enum.Enum):
    """See the module."""

    DISCONNECTED = "disconnected"
    ENROLLING = "enrolling"
    CONNECTING = "connecting"
    LINKED = "linked"
    BACKING_OFF = "backing_off"


class _Event(enum.Enum):
    DOOR_LOST = enum.auto()
    MUST_ENROL = enum.auto()
    MAY_LINK = enum.auto()
    STREAM_UP = enum.auto()
    FAILED = enum.auto()


_NEXT: Final[Mapping[tuple[State, _Event], State]] = {
    (State.DISCONNECTED, _Event.MUST_ENROL): State.ENROLLING,
    (State.DISCONNECTED, _Event.MAY_LINK): State.CONNECTING,
    (State.ENROLLING, _Event.MAY_LINK): State.CONNECTING,
    (State.ENROLLING, _Event.FAILED): State.BACKING_OFF,
    (State.CONNECTING, _Event.STREAM_UP): State.LINKED,
    (State.CONNECTING, _Event.FAILED): State.BACKING_OFF,
    (State.CONNECTING, _Event.MAY_LINK): State.CONNECTING,
    (State.LINKED, _Event.FAILED): State.BACKING_OFF,
    (State.LINKED, _Event.MAY_LINK): State.CONNECTING,
    (State.BACKING_OFF, _Event.MUST_ENROL): State.ENROLLING,
    (State.BACKING_OFF, _Event.MAY_LINK): State.CONNECTING,
} | {(state, _Event.DOOR_LOST): State.DISCONNECTED for state in State}


class CarrierCore:
    """One authority.

    Args:
        authority: its name.
        courier_spki: public key of the courier's TLS certificate, DER.
        certificate: span of the certificate at hand, None without one.
        queue_bytes_max: see ``ReportFlow``.
        answer_timeout_ms: silence after a report that ends the stream.
        backoff: waits between attempts.
    """

    def __init__(
        self,
        *,
        authority: str,
        courier_spki: bytes,
        certificate: Validity | None,
        queue_bytes_max: int,
        answer_timeout_ms: int,
        backoff_ms_max: int,
        source: random.Random,
        resend_ms: int = RESEND_MS,
    ) -> None:
        self.state = State.DISCONNECTED
        self.flow = ReportFlow(queue_bytes_max, resend_ms)
        self._authority = authority
        self._spki = courier_spki
        self._certificate = certificate
        self._answer_timeout_ms = answer_timeout_ms
        self._backoff = Backoff(backoff_ms_max, source)
        self._enrol_backoff = Backoff(backoff_ms_max, source)
        self._host_id: bytes | None = None
        self._held_orders: list[pb.SignedOrder] = []  # to be handed back on this stream
        self._wake_ms: int | None = None  # end of BACKING_OFF
        self._silent_ms: int | None = None  # an answer is due
        self._hello_ms: int | None = None  # ask the gate for an enrolment
        self._check_ms: int | None = None  # look at the certificate
        self._enrolling = False  # a call is under way
        self._refused = False  # the certificate is not taken any more

    @property
    def expires_unix_ms(self) -> int | None:
        """When the certificate at hand ends; None without one."""
        return None if self._certificate is None else self._certificate.not_after_unix_ms

    # -- the gate ---------------------------------------------------------------------------

    def door_opened(self, now: Now) -> list[Action]:
        """The gate's socket is connected."""
        self._check_ms = now.mono_ms + CLOCK_CHECK_MS
        return self._say_hello(now)

    def door_lost(self) -> list[Action]:
        """The gate is gone; a call under way is forgotten too."""
        self._host_id = None
        self._enrolling = False
        self._wake_ms = self._hello_ms = self._check_ms = None
        return self._go(_Event.DOOR_LOST)

    def from_gate(self, message: pb.FromGate, now: Now) -> list[Action]:
        """One message of the gate.

        Raises:
            MalformedError: leave the gate; call ``door_lost``.
        """
        if message.HasField("snapshot"):
            return self._snapshot(message.snapshot, now)
        if message.HasField("enrolment"):
            return self._enrolment(message.enrolment)
        if self.state is not State.LINKED:
            return []  # asked for again when the stream is up
        if message.HasField("held_orders"):
            if message.held_orders.authority != self._authority:
                return []
            self._held_orders = list(message.held_orders.orders)
            return [Write()] if self._held_orders else []
        asked = self.flow.put(message.report, now.mono_ms)
        return [*self._resend(asked), *([Write()] if self.flow.waiting else [])]

    # -- the authority ----------------------------------------------------------------------

    def enrolled(self, reply: pb.EnrollReply, validity: Validity | None, now: Now) -> list[Action]:
        """The authority admits the host; ``validity`` of the certificate that was kept."""
        self._enrolling = False
        self._hello_ms = None
        admission = ToGate(pb.ToGate(admission=reply))
        if validity is None:
            return [admission, *self._enrolment_lost("the reply holds no usable certificate", now)]
        needed = self._refused or self._must_renew(now)
        self._certificate = validity
        self._refused = False
        self._check_ms = self._next_check(now)
        if self._must_enrol(now):
            return [admission, *self._enrolment_lost("the new certificate is over already", now)]
        self._enrol_backoff.reset()
        if self.state is State.ENROLLING or (needed and self.state is not State.DISCONNECTED):
            return [admission, *self._go(_Event.MAY_LINK)]
        return [admission]

    def enrol_failed(self, detail: str, now: Now) -> list[Action]:
        """The call did not succeed."""
        self._enrolling = False
        return self._enrolment_lost(detail, now)

    def stream_opened(self, now: Now) -> list[Action]:
        """The authority took the stream."""
        return [
            *self._go(_Event.STREAM_UP),
            Note("INFO", "courier.linked", "linked"),
            ToGate(pb.ToGate(ask_held_orders=pb.AskHeldOrders(authority=self._authority))),
            *self._resend(self.flow.start(now.mono_ms)),
        ]

    def stream_lost(self, loss: Loss, detail: str, now: Now) -> list[Action]:
        """The stream ended, or could not be opened."""
        self._refused = self._refused or loss is Loss.REFUSED
        wait_ms = self._backoff.next_ms()
        self._wake_ms = now.mono_ms + wait_ms
        note = Note("WARNING", loss.value, f"{detail}; next attempt in {wait_ms} ms")
        return [note, *self._go(_Event.FAILED)]

    def from_authority(self, message: pb.LinkDown, now: Now) -> list[Action]:
        """One message of the authority."""
        self._backoff.reset()
        self._silent_ms = None
        # A slice is a list: protobuf's own lists end each loop with an exception.
        actions: list[Action] = [ToGate(pb.ToGate(answers=one)) for one in message.batches[:]]
        actions += [ToGate(pb.ToGate(order=order)) for order in message.orders[:]]
        for notice in message.notices[:]:
            actions.append(_notice_note(notice))
            if notice.host_id not in {b"", self._host_id}:
                continue
            if notice.retry_after_ms:
                self.flow.hold(notice.expected_sequence, notice.retry_after_ms, now.mono_ms)
            elif notice.expected_sequence:
                asked = self.flow.expected(notice.expected_sequence, now.mono_ms)
                actions += self._resend(asked)
        return actions

    def next_up(self, now: Now) -> pb.LinkUp | None:
        """What to write now; None while nothing is queued or the last message is not written."""
        if self._held_orders:
            held, self._held_orders = self._held_orders, []
            return pb.LinkUp(held_orders=held)
        reports = self.flow.take()
        if not reports:
            return None
        if self._silent_ms is None:
            self._silent_ms = now.mono_ms + self._answer_timeout_ms
        return pb.LinkUp(reports=reports)

    # -- time -------------------------------------------------------------------------------

    def get_timer(self) -> int | None:
        """When ``handle_timer`` wants to be called, by the monotonic clock."""
        timers = (
            self._wake_ms, self._silent_ms, self._hello_ms, self._check_ms, self.flow.get_timer()
        )  # fmt: skip
        return min([timer for timer in timers if timer is not None], default=None)

    def handle_timer(self, now: Now) -> list[Action]:
        """Do what is due."""
        actions: list[Action] = []
        if _due(self._silent_ms, now):
            detail = f"no answer for {self._answer_timeout_ms} ms"
            actions += self.stream_lost(Loss.SILENT, detail, now)
        if _due(self._wake_ms, now):
            self._wake_ms = None
            actions += self._attempt(now)
        if _due(self._check_ms, now):
            self._check_ms = self._next_check(now)
            if self._must_renew(now) and self._hello_ms is None:
                actions += self._say_hello(now)
        if _due(self._hello_ms, now):
            actions += self._say_hello(now)
        return [*actions, *self._resend(self.flow.handle_timer(now.mono_ms))]

    # -- within -----------------------------------------------------------------------------

    def _snapshot(self, snapshot: pb.Snapshot, now: Now) -> list[Action]:
        known, self._host_id = self._host_id, snapshot.host_id
        if known is None:
            self._check_ms = self._next_check(now)
            return self._attempt(now)
        if known != snapshot.host_id and self.state in {State.CONNECTING, State.LINKED}:
            return self._go(_Event.MAY_LINK)
        if self.state is not State.LINKED:
            return []
        return self._resend(self.flow.seen(snapshot, now.mono_ms))

    def _attempt(self, now: Now) -> list[Action]:
        if not self._must_enrol(now):
            return self._go(_Event.MAY_LINK)
        asked = self._hello_ms is not None or self._enrolling
        return [*self._go(_Event.MUST_ENROL), *([] if asked else self._say_hello(now))]

    def _enrolment(self, enrollable: pb.Enrollable) -> list[Action]:
        payload = enrollable.enrolment.payload
        statement = parse_message(pb.Enrolment(), payload, PAYLOAD_BYTES_MAX)
        ours = (statement.authority, statement.courier_spki) == (self._authority, self._spki)
        if not ours or self._enrolling:
            return []
        self._enrolling = True
        self._hello_ms = None
        tpm = enrollable.tpm if enrollable.HasField("tpm") else None
        return [Enroll(pb.EnrollRequest(enrolment=enrollable.enrolment, tpm=tpm))]

    def _enrolment_lost(self, detail: str, now: Now) -> list[Action]:
        wait_ms = self._enrol_backoff.next_ms()
        note = Note("WARNING", Loss.ENROLMENT.value, f"{detail}; next attempt in {wait_ms} ms")
        if self.state is not State.ENROLLING:
            self._hello_ms = now.mono_ms + wait_ms
            return [note]
        self._wake_ms = now.mono_ms + wait_ms
        return [note, *self._go(_Event.FAILED)]

    def _say_hello(self, now: Now) -> list[Action]:
        # Repeated until an enrolment comes, but only where a certificate is needed.
        needed = self._must_renew(now) and not self._enrolling
        self._hello_ms = now.mono_ms + ENROLMENT_WAIT_MS if needed else None
        hello = pb.CourierHello(authority=self._authority, courier_spki=self._spki)
        return [ToGate(pb.ToGate(hello=hello))]

    def _must_enrol(self, now: Now) -> bool:
        """Whether no stream can be opened with the certificate at hand."""
        return (
            self._certificate is None
            or self._refused
            or now.wall_unix_ms >= self._certificate.not_after_unix_ms
        )

    def _must_renew(self, now: Now) -> bool:
        certificate = self._certificate
        return certificate is None or self._refused or now.wall_unix_ms >= certificate.renew_unix_ms

    def _next_check(self, now: Now) -> int:
        if self._certificate is None:
            return now.mono_ms + CLOCK_CHECK_MS
        left_ms = self._certificate.renew_unix_ms - now.wall_unix_ms
        return now.mono_ms + (min(left_ms, CLOCK_CHECK_MS) if left_ms > 0 else CLOCK_CHECK_MS)

    def _go(self, event: _Event) -> list[Action]:
        before = self.state
        after = _NEXT.get((before, event))
        if after is None:
            raise MisuseError(
                f"{event.name} in state {before.value} of {self._authority}", code="courier.state"
            )
        self.state = after
        actions: list[Action] = []
        if before in {State.CONNECTING, State.LINKED} and after is not State.LINKED:
            self._silent_ms = None
            self.flow.clear()
            self._held_orders = []
            actions.append(CloseStream())
        if after is State.CONNECTING and self._host_id is not None:
            self._wake_ms = None
            hello = pb.Hello(host_ids=[self._host_id])
            actions.append(OpenStream(pb.LinkUp(hello=hello)))
        return actions

    def _resend(self, sequence: int | None) -> list[Action]:
        if sequence is None:
            return []
        resend = pb.Resend(authority=self._authority, from_sequence=sequence)
        return [ToGate(pb.ToGate(resend=resend))]


def _notice_note(notice: pb.Notice) -> Note:
    # Unsigned text of a peer: bounded; the formatter escapes it.
    code = notice.reason[:NAME_BYTES_MAX] or "courier.notice"
    return Note("WARNING", code, notice.detail[:TEXT_BYTES_MAX])


def _due(timer_ms: int | None, now: Now) -> bool:
    return timer_ms is not None and now.mono_ms >= timer_ms
