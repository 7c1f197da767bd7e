"""A courier of the world: the production core, between a simulated door and a simulated link."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

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
from flopgate_agent.courier.core import CarrierCore, State
from flopgate_proto.quick import maker
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Policy
from flopgate_sim.world.nature.clocks import Clocks
from flopgate_sim.world.nature.engine import US_PER_MS, Engine, Event
from flopgate_sim.world.nature.network import DOWN, KEEPALIVE_US, UP, Link
from flopgate_sim.world.nature.randomness import Streams

make_now = maker(Now)

CERTIFICATE_SPAN_MS = 90 * 24 * 3600 * 1000
ANSWER_TIMEOUT_MS = 30_000
BACKOFF_MS_MAX = 30_000
QUEUE_BYTES_MAX = 4 * 1024 * 1024
CONNECT_US = 10_000 * US_PER_MS


class Heeds(Protocol):
    """What the laws know of an authority."""

    moved: set[bytes]
    policy: Policy | None


class Authority(Protocol):
    """The governor's end of links."""

    name: str

    @property
    def truth(self) -> Heeds:
        """What the laws know of it."""

    def opened(self, courier: Courier, host_ids: Iterable[bytes]) -> None:
        """A stream was opened and said Hello."""

    def closed(self, courier: Courier) -> None:
        """A stream broke."""

    def received(self, courier: Courier, reports: Iterable[pb.SignedReport]) -> None:
        """Reports came up a stream."""

    def enroll(
        self, request: pb.EnrollRequest, reply: Callable[[pb.EnrollReply | str], None]
    ) -> None:
        """A host asks for admission."""

    def handed_back(self, orders: list[pb.SignedOrder]) -> None:
        """Orders that a host holds."""


class Tampering(Protocol):
    """What a courier does that its operator bent."""

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """What goes up instead; ``None``: nothing."""

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """What the gate gets instead."""


class Courier:
    """Carries between one gate and one authority; dies and starts again as the world wants.

    Attributes:
        core: the production core; ``None`` while the process is dead.
    """

    def __init__(
        self,
        engine: Engine,
        streams: Streams,
        *,
        clocks: Clocks,
        authority: Authority,
        link: Link,
        to_gate: Callable[[pb.ToGate], None],
        host_id: bytes,
    ) -> None:
        self.host_id = host_id
        self.core: CarrierCore | None = None
        self.link = link
        self.authority = authority
        self._bent: list[Tampering] = []
        self.stream = 0
        self._engine = engine
        self._clocks = clocks
        self._to_gate = to_gate
        self._source = streams.of(f"courier/{link.name}")
        self._spki = streams.key(f"courier/{link.name}").spki
        self._certificate: Validity | None = None
        self._opened = 0
        self._timer: Event | None = None
        self._door = False
        self._up = 0
        self._asked: Event | None = None
        self._asleep = False

    # ------------------------------------------------------------------ its process

    def start(self) -> None:
        """The process starts; whether the gate's door is there, it hears apart."""
        self.core = CarrierCore(
            authority=self.authority.name,
            courier_spki=self._spki,
            certificate=self._certificate,
            queue_bytes_max=QUEUE_BYTES_MAX,
            answer_timeout_ms=ANSWER_TIMEOUT_MS,
            backoff_ms_max=BACKOFF_MS_MAX,
            source=self._source,
        )
        if self._door:
            self._do(self.core.door_opened(self._now()))

    def kill(self) -> None:
        """The process is gone at once."""
        self.core = None
        self._drop_stream()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def suspend(self) -> None:
        """The host sleeps: nothing is heard; what comes meanwhile finds nobody."""
        self._asleep = True
        self._drop_stream()

    def resume(self) -> None:
        """The host woke: the stream it had is broken, as it finds out at once."""
        self._asleep = False
        if self.core is not None and self.core.state in {State.CONNECTING, State.LINKED}:
            self._do(self.core.stream_lost(Loss.UNREACHABLE, "slept", self._now()))
        self._plan()

    def door_opened(self) -> None:
        """The gate listens."""
        self._door = True
        if self.core is not None:
            self._do(self.core.door_opened(self._now()))

    def door_lost(self) -> None:
        """The gate is gone."""
        self._door = False
        if self.core is not None:
            self._do(self.core.door_lost())

    # ------------------------------------------------------------------ what comes in

    def from_gate(self, message: pb.FromGate) -> None:
        """One message of the gate."""
        if self.core is not None and self._door:
            self._do(self.core.from_gate(message, self._now()))

    def from_authority(self, stream: int, message: pb.LinkDown) -> None:
        """One message of the authority, on a stream that may be gone."""
        if self.core is not None and stream == self.stream:
            self._do(self.core.from_authority(message, self._now()))

    def lost(self, stream: int, loss: Loss, detail: str) -> None:
        """The stream broke, as this end sees it."""
        if self.core is not None and stream == self.stream and stream:
            self._drop_stream()
            self._do(self.core.stream_lost(loss, detail, self._now()))

    # ------------------------------------------------------------------ within

    def _now(self) -> Now:
        return make_now(mono_ms=self._clocks.elapsed_ms, wall_unix_ms=self._clocks.wall_unix_ms)

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case ToGate(message):
                    self._give(message)
                case OpenStream(hello):
                    self._open(hello)
                case CloseStream():
                    self._drop_stream()
                case Enroll(request):
                    self._enroll(request)
                case Write():
                    self._write()
                case Note():
                    pass
        self._plan()

    @property
    def tampering(self) -> Tampering | None:
        """What it does now: the last to which it was bent, of those that are not over."""
        return self._bent[-1] if self._bent else None

    def bend(self, tampering: Tampering) -> None:
        """Its operator has it do this from now on."""
        self._bent.append(tampering)

    def straighten(self, tampering: Tampering) -> None:
        """That is over; whatever else it was bent to goes on."""
        self._bent.remove(tampering)

    def _give(self, message: pb.ToGate) -> None:
        bent = self.tampering
        messages = [message] if bent is None else bent.down(message)
        for one in messages:
            self._engine.after(0, "to gate", partial(self._to_gate, one))

    def _plan(self) -> None:
        due_ms = self.core.get_timer() if self.core is not None else None
        at_us = None if due_ms is None else self._clocks.when_us(due_ms)
        if self._timer is not None:
            if self._timer.at_us == at_us:
                return
            self._timer.cancel()
            self._timer = None
        if at_us is not None:
            self._timer = self._engine.at(at_us, "courier", self._wake)

    def _wake(self) -> None:
        self._timer = None
        if self.core is not None and not self._asleep:
            self._do(self.core.handle_timer(self._now()))

    def _open(self, hello: pb.LinkUp) -> None:
        self._opened += 1
        number = self.stream = self._opened
        if not self.link.open:
            self._engine.after(
                CONNECT_US,
                "no connection",
                lambda: self.lost(number, Loss.UNREACHABLE, "no connection"),
            )
            return
        self.link.send(UP, "connect", lambda: self._connected(number, hello))
        # A connection that nobody answers is given up.
        self._engine.after(CONNECT_US, "connect timeout", lambda: self._give_up(number))

    def _connected(self, number: int, hello: pb.LinkUp) -> None:
        if self.core is None or number != self.stream or self._up == number:
            return
        self._up = number
        self.authority.opened(self, hello.hello.host_ids)
        if number == self.stream:
            self._do(self.core.stream_opened(self._now()))

    def _give_up(self, number: int) -> None:
        if number == self.stream and self._up != number:
            self.lost(number, Loss.UNREACHABLE, "no connection in time")

    def _drop_stream(self) -> None:
        if self.stream and self._up == self.stream:
            self.authority.closed(self)
        self.stream = 0

    def broken(self) -> None:
        """The link was cut: the stream breaks unless it is mended in time."""
        number = self.stream

        def look() -> None:
            if not self.link.open:
                self.lost(number, Loss.UNREACHABLE, "the connection broke")

        self._engine.after(KEEPALIVE_US, "keepalive", look)

    def _write(self) -> None:
        core, number = self.core, self.stream
        while core is not None and (message := core.next_up(self._now())) is not None:
            core.flow.written()
            bent = self.tampering
            sent = message if bent is None else bent.up(message)
            if sent is not None and sent.held_orders:
                self._hand_back(number, list(sent.held_orders))
            elif sent is not None:
                reports = list(sent.reports)
                self._send(number, reports)

    def _hand_back(self, number: int, orders: list[pb.SignedOrder]) -> None:
        def deliver() -> None:
            if number == self.stream and self._up == number:
                self.authority.handed_back(orders)

        self.link.send(UP, "held orders", deliver)

    def _send(self, number: int, reports: list[pb.SignedReport]) -> None:
        self.link.send(UP, "reports", lambda: self._deliver(number, reports))

    def _deliver(self, number: int, reports: list[pb.SignedReport]) -> None:
        if number == self.stream and self._up == number:
            self.authority.received(self, reports)

    def down(self, message: pb.LinkDown) -> None:
        """The authority sends this down the stream that is open now."""
        number = self.stream
        self.link.send(DOWN, "down", lambda: self.from_authority(number, message))

    def _enroll(self, request: pb.EnrollRequest) -> None:
        def replied(reply: pb.EnrollReply | str) -> None:
            self.link.send(DOWN, "enrolled", lambda: self._enrolled(reply))

        if self.link.open:
            self.link.send(UP, "enroll", lambda: self.authority.enroll(request, replied))
        self._asked = self._engine.after(CONNECT_US, "enroll timeout", self._enroll_late)

    def _enroll_late(self) -> None:
        self._asked = None
        if self.core is not None and not self._asleep:
            self._do(self.core.enrol_failed("no reply", self._now()))

    def _enrolled(self, reply: pb.EnrollReply | str) -> None:
        if self.core is None or self._asked is None or self._asleep:
            return
        self._asked.cancel()
        self._asked = None
        if isinstance(reply, str):
            self._do(self.core.enrol_failed(reply, self._now()))
            return
        now = self._now()
        self._certificate = Validity(
            not_before_unix_ms=now.wall_unix_ms,
            not_after_unix_ms=now.wall_unix_ms + CERTIFICATE_SPAN_MS,
        )
        self._do(self.core.enrolled(reply, self._certificate, now))
