"""A governor of the world: the production writer and its store, driven by the virtual clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from flopgate_agent.courier.actions import Loss
from flopgate_governor.batch import commit_batch
from flopgate_governor.clocks import Clocks as MachineClocks
from flopgate_governor.core.orders import Halt
from flopgate_governor.joining import tpm_quotes
from flopgate_governor.joining.admission import admit
from flopgate_governor.licenses.issuing import issue
from flopgate_governor.orders.accepting import Accepted, accept_order, concerned
from flopgate_governor.orders.handed_back import held_in, take_back
from flopgate_governor.receive import Submission
from flopgate_governor.service.greeting import greet, named_in
from flopgate_governor.state import State, open_state
from flopgate_governor.store.prepared import driver_of
from flopgate_proto.codec import envelope_from_wire, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import FlopgateError, PeerError, StorageError
from flopgate_proto.tpm_quote import CheckedQuote
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.disk import Disk, Snapshot
from flopgate_sim.world.governors.officers import Officers
from flopgate_sim.world.governors.store import GovernorStore
from flopgate_sim.world.hosts.courier import Courier
from flopgate_sim.world.nature.clocks import Clocks
from flopgate_sim.world.nature.engine import US_PER_MS, US_PER_S, Engine
from flopgate_sim.world.truths.governor import GovernorTruth
from flopgate_sim.world.truths.times import TimeTruth

RESTART_US = 3 * US_PER_S
CARRIED_AT_ONCE = 256


@dataclass(slots=True, kw_only=True)
class _Waiting:
    courier: Courier
    stream: int
    submission: Submission


@dataclass(slots=True)
class _Stream:
    courier: Courier
    number: int
    host_ids: set[bytes] = field(default_factory=set)


class Governor:
    """One authority.

    Attributes:
        state: the writer's memory, ``None`` while the process is dead.
        store: where it keeps its books.
        database: what that runs on, for the laws to ask between transactions.
        truth: what really left it, for the laws.
        times: how late it may say that it is, for the laws.
        boots: of its machine, after the first.
        backed: hosts whose key is in a TPM: it quotes for their enrolment.
    """

    def __init__(
        self,
        engine: Engine,
        officers: Officers,
        disk: Disk,
        clocks: Clocks,
        gather_us: int,
        *,
        plain: bool,
    ) -> None:
        self.name = officers.authority
        self.officers = officers
        self.clocks = clocks
        self.disk = disk
        self.store = GovernorStore(disk, plain=plain)
        self.state: State | None = None
        self.database: sqlite3.Connection | None = None
        self.truth = GovernorTruth(self.name)
        self.times = TimeTruth(clocks)
        self.boots = 0
        self._powered = True
        self._engine = engine
        self._gather_us = gather_us
        self._waiting: list[_Waiting] = []
        self._planned = False
        self._streams: dict[int, _Stream] = {}
        self.backed: set[bytes] = set()

    # ------------------------------------------------------------------ its process

    def machine(self) -> MachineClocks:
        """What its process reads in this boot."""
        return MachineClocks(
            boot_id=f"{self.name}/{self.boots}".encode(),
            unix_ms=lambda: self.clocks.wall_unix_ms,
            boot_ms=lambda: self.clocks.elapsed_ms,
        )

    @property
    def unix_ms(self) -> int:
        """Its own time; that of its wall clock while it is dead."""
        return self.clocks.wall_unix_ms if self.state is None else self.state.now_ms()

    def start(self) -> None:
        """The process starts, unless it runs; it comes back when it cannot."""
        if self.state is not None or not self._powered:
            return
        self.disk.revive()
        try:
            store = self.store.open()
            self.times.starts()
            self.state = open_state(store, self.officers.permit, self.officers.log, self.machine())
        except FlopgateError as error:
            self._engine.note(self.name, f"cannot start: {error.code}")
            self._engine.after(RESTART_US, "governor start", self.start)
            return
        self.times.started(self.state.batch_digest)
        with store.transaction() as connection:
            self.database = driver_of(connection)
        self._engine.note(self.name, f"starts at batch {self.state.batch_number}")
        self.truth.started(self.state.opened_batch, self.store.durable_batch())
        orders = self.state.book.orders
        self.truth.knows(held.digest for held in orders.pauses)
        self.truth.keys.revoked = set(orders.trust.revoked)

    def kill(self, why: str) -> None:
        """The process is gone between two instructions."""
        if self.state is None:
            return
        self._engine.note(self.name, f"dies: {why}")
        state, self.state, self.database = self.state, None, None
        self._waiting = []
        self.disk.crash()
        self.store.abandon(state.store)
        for stream in list(self._streams.values()):
            gone = partial(_reset, stream.courier, stream.number)
            self._engine.after(50 * US_PER_MS, "reset", gone)
        self._streams = {}

    def halt(self) -> Halt | None:
        """Why nothing is granted until officers reconcile; ``None`` too while it is dead."""
        return None if self.state is None else self.state.book.halt

    def restart_soon(self, why: str, wait_us: int = RESTART_US) -> None:
        """The process is killed and comes back."""
        self.kill(why)
        self._engine.after(wait_us, "governor start", self.start)

    def lose_power(self) -> None:
        """Its machine is off."""
        self.kill("power loss")
        self._powered = False

    def boot(self) -> None:
        """Its machine has power again, unless it had; its source of time sets its wall clock."""
        if self._powered:
            return
        self._powered = True
        self.boots += 1
        self.clocks.boot()
        self.clocks.wall_offset_ms = 0
        self.times.booted()
        self.start()

    def restore(self, backup: Snapshot, batch_number: int) -> None:
        """An older backup takes the place of the store; the process starts on it."""
        self.kill("its store is restored from a backup")
        self.disk.restore(backup)
        self.truth.restored(batch_number)
        self.times.unfounded()
        self._engine.after(RESTART_US, "governor start", self.start)

    def _died(self) -> bool:
        if self.disk.died:
            self.restart_soon("while it wrote")
            return True
        return False

    # ------------------------------------------------------------------ its end of links

    def opened(self, courier: Courier, host_ids: Iterable[bytes]) -> None:
        """A stream was opened and said Hello."""
        if self.state is None:
            number = courier.stream
            self._engine.after(50 * US_PER_MS, "refused", lambda: _reset(courier, number))
            return
        stream = _Stream(courier, courier.stream)
        hello = pb.Hello(host_ids=list(host_ids))
        try:
            named = named_in(hello, courier.host_id)
            greeting = greet(self.state, named)
        except StorageError:
            if not self._died():
                _reset(courier, courier.stream)
            return
        stream.host_ids = set(named.own) - greeting.unknown
        self._streams[id(courier)] = stream
        for message in greeting.messages:
            courier.down(message)

    def closed(self, courier: Courier) -> None:
        """A stream broke."""
        self._streams.pop(id(courier), None)

    def received(self, courier: Courier, reports: Iterable[pb.SignedReport]) -> None:
        """Reports came up a stream; they wait for the next transaction."""
        if self.state is None:
            return
        submission = Submission(reports=tuple(reports), host_id=courier.host_id)
        self._waiting.append(
            _Waiting(courier=courier, stream=courier.stream, submission=submission)
        )
        if not self._planned:
            self._planned = True
            self._engine.after(self._gather_us, "commit", self._commit)

    def _commit(self) -> None:
        self._planned = False
        waiting, self._waiting = self._waiting, []
        if self.state is None or not waiting:
            return
        submissions = [one.submission for one in waiting]
        self._offer(submissions)
        try:
            replies = commit_batch(self.state, submissions)
        except StorageError as error:
            if not self._died():
                self._engine.note(self.name, f"commit fails: {error.code}")
                for one in waiting:
                    _reset(one.courier, one.stream)
            return
        self.truth.committed(self, replies, self._engine.now_us)
        for one, reply in zip(waiting, replies, strict=True):
            if one.courier.stream == one.stream and (reply.batches or reply.notices):
                one.courier.down(reply)
        self._died()

    def _offer(self, submissions: list[Submission]) -> None:
        """They are judged next; whose key was revoked judges nothing."""
        if self.state is not None and self.officers.permit.key_id not in self.truth.keys.revoked:
            self.truth.offer(submissions, self.state.now_ms(), self._engine.now_us)

    def enroll(
        self, request: pb.EnrollRequest, reply: Callable[[pb.EnrollReply | str], None]
    ) -> None:
        """A host asks for admission."""
        if self.state is None:
            return
        try:
            admitted = admit(self.state, envelope_from_wire(request.enrolment))
            self._quoted(pb.Admission.FromString(admitted.admission.payload).host_id)
        except PeerError as error:
            self.truth.turned_away.add(error.code)
            reply(error.code)
            return
        except StorageError:
            self._died()
            return
        if not self._died():
            self.truth.admitted(request.enrolment, admitted.admission, self.state.now_ms())
            reply(pb.EnrollReply(admission=admitted.admission, orders=admitted.orders))

    def handed_back(self, orders: list[pb.SignedOrder]) -> None:
        """A host hands back what it holds, in case a backup lacks it."""
        if self.state is None:
            return
        try:
            taken = take_back(self.state, held_in(orders))
        except StorageError:
            self._died()
            return
        except PeerError as error:
            self._engine.note(self.name, f"handed back in vain: {error.code}")
            return
        for accepted in taken:
            self._engine.note(self.name, f"handed back: {accepted.digest.hex()[:12]}")
            self._in_force(accepted)
        self._died()

    def _quoted(self, host_id: bytes) -> None:
        """What the host's TPM would have said beside its enrolment is on record."""
        if self.state is not None and host_id in self.backed:
            said = CheckedQuote(
                attestation_spki=host_id, pcrs=(0,), pcr_digest=bytes(32), clock_ms=0, safe=True
            )
            with self.state.store.transaction() as connection:
                if host_id not in tpm_quotes.load(connection):
                    tpm_quotes.write(connection, host_id, said, pb.TpmQuote(), 0)

    # ------------------------------------------------------------------ what is carried to it

    def carry(self, reports: Sequence[pb.SignedReport]) -> bool:
        """Somebody brings reports by file; whether they were taken."""
        for start in range(0, len(reports), CARRIED_AT_ONCE):
            brought = tuple(reports[start : start + CARRIED_AT_ONCE])
            submission = Submission(reports=brought, host_id=None, carried=True)
            if self.state is None:
                return False
            self._offer([submission])
            try:
                replies = commit_batch(self.state, [submission])
            except StorageError:
                self._died()
                return False
            self.truth.committed(self, replies, self._engine.now_us)
            if self._died():
                return False
        return self.state is not None

    def license(self, request: bytes, approval: Envelope) -> pb.HostLicense | None:
        """Officers approved a license: what it comes to; ``None`` where none is given."""
        if self.state is None:
            return None
        wire = envelope_to_wire(approval)
        try:
            reply = issue(self.state, pb.IssueLicensesRequest(requests=[request], approval=wire))
        except PeerError as error:
            self._engine.note(self.name, f"license refused: {error.code}")
            return None
        except StorageError:
            self._died()
            return None
        for one in reply.issued:
            for verdict in one.verdicts:
                why = verdict.refusal.reason or f"{verdict.ceiling.ceiling_tflop} TFLOP"
                self._engine.note(self.name, f"license for {verdict.workload}: {why}")
        return None if self._died() or not reply.licenses else reply.licenses[0]

    # ------------------------------------------------------------------ its officers

    def order(self, envelope: Envelope) -> bool:
        """Officers bring an order; it is pushed to whom it concerns. Whether it was taken."""
        if self.state is None:
            return False
        try:
            accepted = accept_order(self.state, envelope)
        except PeerError as error:
            self._engine.note(self.name, f"order refused: {error.code}")
            return False
        except StorageError:
            self._died()
            return False
        kind = envelope.payload_type.split(".")[2]
        self._engine.note(self.name, f"order {kind} {accepted.digest.hex()[:12]}")
        self._in_force(accepted)
        return not self._died()

    def _in_force(self, accepted: Accepted) -> None:
        """It is on record: hosts that it concerns are told."""
        if self.state is None:
            return
        envelope = accepted.envelope
        self.truth.ordered(envelope, self.officers.trust_root, self.state.now_ms())
        linked = {host_id for stream in self._streams.values() for host_id in stream.host_ids}
        try:
            hosts = concerned(self.state, envelope, linked)
        except StorageError:
            return
        signed = pb.SignedOrder(envelope=envelope_to_wire(envelope), log=accepted.proof)
        message = pb.LinkDown(orders=[signed])
        for stream in self._streams.values():
            if hosts is None or not stream.host_ids.isdisjoint(hosts):
                stream.courier.down(message)


def _reset(courier: Courier, number: int) -> None:
    courier.lost(number, Loss.UNREACHABLE, "the authority ended the stream")
