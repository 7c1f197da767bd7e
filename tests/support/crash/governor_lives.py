"""Lives of a governor that is struck, and what must hold after each: whatever it is given to do.

After each death its files are looked at as they lie there. A governor that could not write
acknowledges nothing of it and says so; once it can, it does all of its work, in the same life where
it did not end.
"""

from __future__ import annotations

import signal
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from traceback import format_exc
from typing import Final, Self

import grpc

from flopgate_governor.desk.client import UnreachableError, submit
from flopgate_governor.files import Layout, read_signing_key
from flopgate_governor.policies.form import DEFAULT_POLICY
from flopgate_governor.wiring import load_authority_id
from flopgate_proto.codec import decode_admission, encode_order
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.joining import JoinToken
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Scope, ScopeKind
from flopgate_proto.values.orders import Order
from tests.support.crash.figures import COULD_NOT, CrashError, Figures, check_told, copied
from tests.support.crash.switch import Strike, Switch
from tests.support.governor import AUTHORITY, FakeHost
from tests.support.governor_process import Certificate, Courier, GovernorProcess, check_store
from tests.support.waiting import WAIT_S

UNIT_TFLOP: Final = 1_000_000
CLUSTER: Final = Scope(ScopeKind.CLUSTER, "c1")
_CANNOT_WRITE: Final = "storage.failed"
BUDGET: Final = f"""
[[budgets]]
scope = "cluster:c1"
cap_tflop = {10 * UNIT_TFLOP}
"""


@dataclass
class Member:
    """A host with its courier, and what it was told."""

    host: FakeHost
    courier: Courier
    token: JoinToken
    certificate: Certificate | None = None
    admissions: dict[bytes, bytes] = field(default_factory=dict)
    answers: dict[int, bytes] = field(default_factory=dict)
    ceiling_tflop: int = 0
    made: list[Envelope] = field(default_factory=list)

    def join(self) -> None:
        """Enrol, or once more.

        Raises:
            CrashError: it was admitted otherwise before.
        """
        reply = self.courier.enroll(self.host.enrolment(self.token, self.courier.spki))
        admission = reply.admission.payload
        # It is said anew where another policy is in force.
        policy = decode_admission(admission).policy_digest
        if self.admissions.setdefault(policy, admission) != admission:
            raise CrashError(f"host {self.host.number} was admitted twice (law 9)")
        self.certificate = self.courier.certificate(reply)

    def take(self, down: pb.LinkDown) -> None:
        """Check an answer against what was told before, quote it, and spend what it grants.

        Raises:
            CrashError: the same report was answered otherwise before.
        """
        told = [(batch, leaf) for batch in down.batches for leaf in batch.answers]
        if not told:
            raise CrashError(f"host {self.host.number} got no answer: {down}")
        for batch, leaf in told:
            answer = pb.Answer.FromString(leaf.payload)
            sequence = answer.acknowledged_sequence
            if self.answers.setdefault(sequence, leaf.payload) != leaf.payload:
                raise CrashError(f"report {sequence} has two answers (law 9)")
            self.host.accept_unverified(batch, leaf)
            for verdict in answer.verdicts:
                if verdict.HasField("ceiling"):
                    self.ceiling_tflop = verdict.ceiling.ceiling_tflop
        spent_tflop = min(self.ceiling_tflop, self.host.allotted_tflop + UNIT_TFLOP // 3)
        self.host.allotted_tflop = max(self.host.allotted_tflop, spent_tflop)


class GovernorLives(ABC):
    """One governor, to be given work in each life; use it in a ``with`` statement.

    Args:
        folder: an empty one.
        name: of the scene.
    """

    programs: Sequence[str] = ("governor",)

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._form = folder / "g.toml"
        self._form.write_text(DEFAULT_POLICY.format(authority=AUTHORITY) + BUDGET)
        self._governor = GovernorProcess.make(folder / "g", policy=self._form)
        self._layout = Layout(folder / "g")
        self.switch = Switch(folder, folder / "g")
        self._governor.env = self.switch.env
        self.figures = Figures(name)
        keys = sorted(self._layout.officers.iterdir())
        self._officers = [read_signing_key(path) for path in keys[:2]]
        self._orders: dict[bytes, Envelope] = {}
        self._untold: Envelope | None = None
        self._said = 0

    @abstractmethod
    def __enter__(self) -> Self:
        """Set it up."""

    def __exit__(self, *_: object) -> None:
        self._governor.stop(signal.SIGKILL)

    @abstractmethod
    def _work(self) -> None:
        """All that it is given to do in one life; again, after a death."""

    @abstractmethod
    def _told(self) -> Iterable[Member]:
        """Who was told what."""

    def live(self, program: str, strike: Strike | None) -> None:
        """One life, up to its death at this call, or to its end.

        Raises:
            CrashError: something did not survive.
        """
        self._governor.stop(signal.SIGKILL)
        self._said = self._log().stat().st_size
        self.switch.arm(strike)
        if strike is None or strike.how.kills:
            self._to_its_end()
        else:
            self._with_an_error()
        self.figures.lived(self.switch, strike, program)
        if "Traceback" in self._logged():
            raise CrashError(f"the governor met what it does not know: {self._logged()}")
        self._look()

    def _to_its_end(self) -> None:
        # A death before this one, or none, is what it starts from.
        if self._governor.launch():
            try:
                self._work()
            except (grpc.RpcError, UnreachableError) as error:
                self._ended(error)
            else:
                status = self._governor.stop()
                # It may be struck as late as now.
                if status != (-signal.SIGKILL if self.switch.struck else 0):
                    raise CrashError(f"the governor ended with {status}: {self._logged()}")
        else:
            self._ended(None)

    def _with_an_error(self) -> None:
        """It works, or says what is wrong; once it can write again, it works."""
        refused: Exception | None = None
        if self._governor.launch():
            try:
                self._work()
            except (grpc.RpcError, UnreachableError) as error:
                refused = error
        else:
            self._gave_up()
        if refused is not None and _CANNOT_WRITE not in str(refused):
            raise CrashError(f"whoever asked is not told why: {refused}")
        if refused is not None or self._governor.process is None:
            self.switch.disarm()
            if self._governor.process is None and not self._governor.launch():
                raise CrashError(f"the governor does not start again: {self._logged()}")
            self._work()
        if (status := self._governor.stop()) != 0:
            raise CrashError(f"the governor ended with {status}: {self._logged()}")

    def _gave_up(self) -> None:
        """It ended before it served: it says why."""
        if (status := self._governor.stop()) not in COULD_NOT:
            raise CrashError(f"the governor ended with {status}: {self._logged()}")
        check_told(self._logged(), "the governor")

    def _ended(self, error: Exception | None) -> None:
        """Whoever ends must have been killed."""
        process = self._governor.process
        if not self.switch.struck or process is None:
            raise CrashError(f"the governor lives and refused: {error}")
        if (status := process.wait(WAIT_S)) != -signal.SIGKILL:
            raise CrashError(f"the governor ended with {status}: {self._logged()}")

    def _log(self) -> Path:
        return self._layout.root / "log"

    def _logged(self) -> str:
        """What this life said."""
        return self._log().read_text()[self._said :]

    def _signed(self, order: Order) -> Envelope:
        whole = replace(order, authority_id=load_authority_id(self._layout))
        return seal(*encode_order(whole), self._officers)

    def _order(self, order: Envelope) -> bytes:
        self._untold = order
        submit(self._layout, order)
        self._orders[order.digest] = order
        self._untold = None
        return order.digest

    def _look(self) -> None:
        """Judge the store as it lies there: of a copy, for a look recovers what is broken."""
        store = copied(self._layout.root, self._folder / "copy", self._layout.store.name)
        try:
            check_store(store, {one.host.host_id: one.answers for one in self._told()})
        except AssertionError as error:
            raise CrashError(
                f"the store does not agree with what was told: {format_exc(limit=-1)}"
            ) from error
        with closing(sqlite3.connect(store)) as connection:
            found = list(wrong_in_books(connection, self._orders, self._told()))
        if found:
            raise CrashError("; ".join(found))


def wrong_in_books(
    store: sqlite3.Connection, orders: dict[bytes, Envelope], members: Iterable[Member]
) -> Iterator[str]:
    """What a governor's store may not hold, or lacks of what was acknowledged."""
    ((state,),) = store.execute("PRAGMA integrity_check")
    if state != "ok":
        yield f"the store is damaged: {state}"
    query = "SELECT settled_tflop + outstanding_tflop, cap_tflop FROM budget"
    for granted_tflop, cap_tflop in store.execute(query):
        if granted_tflop > cap_tflop:
            yield f"{granted_tflop} of {cap_tflop} TFLOP are granted (law 2)"
    known = {digest for (digest,) in store.execute("SELECT digest FROM officer_order")}
    if lost := set(orders) - known:
        yield f"{len(lost)} orders were taken and are gone (law 9)"
    admitted = {host_id for (host_id,) in store.execute("SELECT host_id FROM host")}
    for member in members:
        if member.admissions and member.host.host_id not in admitted:
            yield f"host {member.host.number} was admitted and is gone (law 9)"
    query = (
        "SELECT count(*) FROM report r WHERE sequence > 1 AND NOT EXISTS (SELECT 1 FROM report b"
        " WHERE b.host_id = r.host_id AND b.sequence = r.sequence - 1)"
    )
    ((torn,),) = store.execute(query)
    if torn:
        yield f"{torn} reports have none before them (law 4)"
