"""A gate without its clock, sampler and sockets: the core, and what carries out its decisions.

The gate's process and every simulation drive this one class: what is kept before what leaves, what
a failed write voids, and what a courier may ask for is decided here once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from flopgate_agent.gate.actions import (
    Action,
    Keep,
    KeepEnrolment,
    KeepLicenses,
    KeepOrder,
    KeepQuote,
    KeepReport,
    KeepTime,
    Move,
    Restore,
    SendReport,
    Tell,
    Thaw,
)
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate.faults import LEDGER_FAILED, MUTING, TPM_FAILED
from flopgate_agent.gate.settings import Now
from flopgate_agent.gate_process import inbox
from flopgate_agent.gate_process.outbox import Outbox, Reports
from flopgate_agent.gate_process.snapshot import fill_snapshot, snapshot
from flopgate_agent.logs import FIELDS
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.errors import (
    ClockError,
    EnvironmentFault,
    FlopgateError,
    HistoryError,
    PeerError,
    StorageError,
    TpmError,
)
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Finding

OWNERS: Final[Mapping[str, str]] = {
    "retire": "take this host out of service",
    "ask_license": "ask for a license",
    "license": "install a license",
    "return_license": "give a license back",
    "open_reserve": "open a reserve license",
    "tell_time": "bring the time",
}
"""What only the host's own people may want of the gate."""
_LOG = logging.getLogger("flopgate.gate")


class Keeper(Reports, Protocol):
    """What the gate's memory must do."""

    def keep(self, action: Keep) -> None:
        """Make one thing durable before anything that follows happens."""


class Doer(Protocol):
    """What carries out decisions upon processes."""

    @property
    def closed(self) -> Collection[str]:
        """Workloads whose chips were to be opened for jobs and are not yet."""

    def carry_out(self, action: Move) -> Sequence[Finding]:
        """Do it; what the authorities should know of it."""

    def turn(self, now_ms: int) -> Sequence[Finding]:
        """Go on with what takes its time; called each second. What came of it."""

    def close(self, now_ms: int) -> None:
        """Bring what takes its time to an end: the gate stops."""

    def protect(self, pids: Sequence[int]) -> None:
        """Never touch these."""


class Quotes(Protocol):
    """A TPM that quotes."""

    def of(self, enrolment_digest: bytes) -> pb.TpmQuote:
        """For one enrolment; raises ``TpmError``, or ``StorageError`` where it is not kept."""


class Door(Protocol):
    """Where couriers are."""

    @property
    def clients(self) -> Mapping[int, int]:
        """Ids of connected couriers, oldest first, each with its dropped frames."""

    def send(self, client_id: int, message: pb.FromGate) -> bool:
        """Hand over a message; whether it was taken."""

    def broadcast(self, message: pb.FromGate) -> object:
        """Hand the message to every courier."""


def log_told(told: Tell) -> None:
    """A transition or finding, for the host's own people."""
    _LOG.info("%s", told.event, extra={FIELDS: {"subject": told.subject, "detail": told.detail}})


def log_refused(error: PeerError) -> None:
    """What a courier brought and did not hold."""
    fields = {"code": error.code, "remedy": error.remedy}
    _LOG.warning("refused: %s", error.detail, extra={FIELDS: fields})


class GateRunner:
    """One run of a gate.

    Args:
        core: fresh, made from what ``ledger`` held.
        hand: carries out what concerns processes.
        door: where couriers are.
        clock: this moment, on the host's clocks.
        quoting: makes a TPM's quotes for enrolments, where the host key is in one.
        tell: takes what the host's own people should know.
        refused: takes what did not hold.
        leave: leaves to the next run what is about to become durable.
    """

    def __init__(
        self,
        core: GateCore,
        ledger: Keeper,
        hand: Doer,
        door: Door,
        clock: Callable[[], Now],
        *,
        quoting: Quotes | None = None,
        tell: Callable[[Tell], None] = log_told,
        refused: Callable[[PeerError], None] = log_refused,
        leave: Callable[[GateCore], object] = lambda _core: None,
    ) -> None:
        self._quoting = quoting
        self._tell = tell
        self._refused = refused
        self._leave = leave
        self.core = core
        self.hand = hand
        self._ledger = ledger
        self._door = door
        self._clock = clock
        self._outbox = Outbox(door, ledger, self._first_unacknowledged)

    def enter(self, event: Callable[..., list[Action]], *arguments: object) -> None:
        """Let something happen to the core now, and do what follows from it."""
        try:
            self.do(event(*arguments, self._clock()))
        except ClockError as error:
            self._clock_failed(error)
        except TpmError as error:
            self.tpm_failed(error)

    def handle_timer(self) -> None:
        """Let the core act if its time has come, or if time went back."""
        now = self._clock()
        if now.elapsed_ms >= self.core.get_timer() or self.core.went_back(now):
            self.enter(self.core.handle_timer)

    def show(self, ledger_free_bytes: int | None = None) -> pb.Snapshot:
        """Give every courier a snapshot, and return it."""
        message = pb.FromGate()
        fill_snapshot(message.snapshot, self.core, self.hand.closed, ledger_free_bytes)
        self._door.broadcast(message)
        return message.snapshot

    def push(self) -> None:
        """Give couriers the reports that they asked for."""
        try:
            self._outbox.push(self.core.chain.sequence)
        except StorageError as error:
            # Voided nothing: once is enough.
            if not self.core.has_fault(LEDGER_FAILED):
                self._ledger_failed(error)

    def from_courier(self, client_id: int, message: pb.ToGate) -> None:
        """One message of a courier; what does not hold is refused and changes nothing."""
        core = self.core
        try:
            match message.WhichOneof("message"):
                case "hello":
                    self._hello(client_id, message.hello)
                case "answers":
                    actions, errors = inbox.take_answers(core, message.answers, self._clock())
                    self.do(actions)
                    for error in errors:
                        self._refused(error)
                case "order":
                    self.do(inbox.take_order(core, message.order, self._clock()))
                case "admission":
                    self.do(inbox.take_admission(core, message.admission, self._clock()))
                case "ask_held_orders":
                    self._hand_back(client_id, message.ask_held_orders.authority)
                case "resend":
                    resend = message.resend
                    self._outbox.resend(client_id, resend.authority, resend.from_sequence)
                case _:
                    pass
        except PeerError as error:
            self._refused(error)
        except ClockError as error:
            self._clock_failed(error)
        except TpmError as error:
            self.tpm_failed(error)
        except StorageError as error:
            self._ledger_failed(error)

    def from_owner(self, message: pb.ToGate) -> pb.Reply:
        """What the host's own people want, carried out; what the gate says to it."""
        try:
            self.do(inbox.take_wish(self.core, message, self._clock()))
        except PeerError as error:
            self._refused(error)
            return _reply(error)
        except EnvironmentFault as error:
            if isinstance(error, ClockError):
                self._clock_failed(error)
            elif isinstance(error, TpmError):
                self.tpm_failed(error)
            return _reply(error)
        fault = next((one for one in MUTING if self.core.has_fault(one)), None)
        if fault is not None:
            # What was to be kept was not, or is not sure to be.
            said = "the gate could not keep what was asked for: see its log"
            return pb.Reply(code=fault, detail=said, remedy="Mend it, and restart the gate.")
        return pb.Reply()

    def retire(self) -> pb.Reply:
        """The host's own people take it out of service; what the gate says to it."""
        return self.from_owner(pb.ToGate(retire=pb.Retire()))

    def do(self, actions: Sequence[Action]) -> None:
        """Carry out actions in order; when one cannot be kept, none after it happens."""
        for action in actions:
            match action:
                case (
                    KeepReport()
                    | KeepOrder()
                    | KeepQuote()
                    | KeepEnrolment()
                    | KeepLicenses()
                    | KeepTime()
                ):
                    if not self._kept(action):
                        return
                case SendReport():
                    self.push()
                case Tell():
                    self._tell(action)
                case Thaw() | Restore() if self._clock().elapsed_ms >= action.until_ms:
                    doing = type(action).__name__.lower()
                    _LOG.error("%s of %s came too late", doing, action.workload)
                case _:
                    self._note(self.hand.carry_out(action))

    def _kept(self, action: Keep) -> bool:
        """Whether it is durable; else the host is held."""
        if isinstance(action, KeepQuote):
            self._leave(self.core)
        try:
            self._ledger.keep(action)
        except (StorageError, HistoryError) as error:
            self._ledger_failed(error)
        except TpmError as error:
            self.tpm_failed(error)
        else:
            return True
        return False

    def turn(self) -> None:
        """Let the hand go on with what takes its time."""
        self._note(self.hand.turn(self._clock().elapsed_ms))

    def _note(self, findings: Sequence[Finding]) -> None:
        for found in findings:
            self.core.findings.add(
                found.id, found.severity, subject=found.subject, detail=found.detail
            )

    def _hello(self, client_id: int, hello: pb.CourierHello) -> None:
        self._door.send(client_id, pb.FromGate(snapshot=snapshot(self.core, self.hand.closed)))
        self.do(self.core.enrol(hello.authority, hello.courier_spki, self._clock()))
        enrolment = self.core.authorities[hello.authority].enrolment
        if enrolment is not None and not any(map(self.core.has_fault, MUTING)):
            wire = pb.Enrollable(enrolment=envelope_to_wire(enrolment))
            if self._quoting is not None:
                wire.tpm.CopyFrom(self._quoting.of(enrolment.digest))
            self._door.send(client_id, pb.FromGate(enrolment=wire))

    def _hand_back(self, client_id: int, authority: str) -> None:
        known = self.core.authorities.get(authority)
        held = [] if known is None else known.held_orders(self.core.running_ms)
        orders = [pb.SignedOrder(envelope=envelope_to_wire(one)) for one in held]
        answer = pb.HeldOrders(authority=authority, orders=orders)
        self._door.send(client_id, pb.FromGate(held_orders=answer))

    def _first_unacknowledged(self, authority: str) -> int:
        known = self.core.authorities.get(authority)
        return known.acknowledged_sequence + 1 if known else 1

    def _ledger_failed(self, error: StorageError | HistoryError) -> None:
        """Nothing can be kept: nothing may run (law 8). A restart reads what is durable.

        Each time: what was to follow is voided, and must be asked for again.
        """
        _LOG.error("%s", error)
        self.do(self.core.fault(LEDGER_FAILED, error.detail, error.remedy, self._clock()))

    def tpm_failed(self, error: TpmError) -> None:
        """Nothing can be signed: nothing may run (law 8), until a restart."""
        _LOG.error("%s", error)
        said = f"{error.code}: {error.detail}"
        self.do(self.core.fault(TPM_FAILED, said, error.remedy, self._clock()))

    def _clock_failed(self, error: ClockError) -> None:
        _LOG.error("%s", error)
        if not self.core.has_fault(error.code):
            self.do(self.core.fault(error.code, error.detail, error.remedy, self._clock()))


def answered(runner: GateRunner | None, message: pb.ToGate, *, own: bool) -> pb.Reply:
    """What is said to whoever asks; ``own``: it is root or the gate's own user."""
    what = OWNERS[message.WhichOneof("message") or ""]
    if not own:
        who = f"only root and the gate's own user may {what}"
        return pb.Reply(code="door.rights", detail=who, remedy="Run this as root.")
    if runner is None:
        starting = "the driver has not named its chips yet"
        return pb.Reply(code="door.starting", detail=starting, remedy="Try again in a moment.")
    return runner.from_owner(message)


def _reply(error: FlopgateError) -> pb.Reply:
    return pb.Reply(code=error.code, detail=error.detail, remedy=error.remedy)
