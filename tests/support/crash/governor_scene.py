"""`flopgate-governor serve`, struck at each of its writes, and hosts that speak to it over TLS.

One store lives through all deaths. In each life the governor recovers, answers once more what it
was asked before its death, and is given work of every kind: a host joins, hosts report and spend
what they are granted, officers pause, resume and raise the cap, reports come by file, a license is
issued, and it is told to stop. After each death its files are looked at as they lie there. A
governor that could not write acknowledges nothing of it and says so; once it can, it does all of
its work, in the same life where it did not end.
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from traceback import format_exc
from typing import Final, Self

import grpc

from flopgate_governor.desk.client import UnreachableError, issue_licenses, submit
from flopgate_governor.desk.deliveries import take_chains
from flopgate_governor.files import Layout, read_signing_key
from flopgate_governor.policies.form import DEFAULT_POLICY, read_policy
from flopgate_proto.codec import decode_admission, encode_order, envelope_to_wire
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.files import CHAIN_KIND, CarriedReport, ReportingHost, write_reports
from flopgate_proto.joining import JoinToken
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Budget, LicenseApproval, Pause, Resume, Scope, ScopeKind
from flopgate_proto.values.orders import Order
from tests.support.crash.figures import CrashError, Figures, check_told, copied
from tests.support.crash.switch import Strike, Switch
from tests.support.governor import AUTHORITY, FakeHost
from tests.support.governor_licenses import asking
from tests.support.governor_process import (
    Certificate,
    Courier,
    GovernorProcess,
    OpenLink,
    check_store,
)

UNIT_TFLOP: Final = 1_000_000
CLUSTER: Final = Scope(ScopeKind.CLUSTER, "c1")
SPAN_MS: Final = 600_000
_CANNOT_WRITE: Final = "storage.failed"
HOUR_MS: Final = 3_600_000
TOKEN_HOSTS: Final = 40
"""One token is for so many hosts, and for some more."""
JOINS_EACH: Final = 4
"""A host joins in one life of so many: the store is to grow, and not without end."""
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


class GovernorScene:
    """One governor with one store; use it in a ``with`` statement.

    Args:
        folder: an empty one.
    """

    programs: Sequence[str] = ("governor",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token: JoinToken
        form = folder / "g.toml"
        form.write_text(DEFAULT_POLICY.format(authority=AUTHORITY) + BUDGET)
        self._governor = GovernorProcess.make(folder / "g", policy=form)
        self._layout = Layout(folder / "g")
        self.switch = Switch(folder, folder / "g")
        self._governor.env = self.switch.env
        self.figures = Figures("governor")
        self._policy = read_policy(form, AUTHORITY, 1)
        keys = sorted(self._layout.officers.iterdir())
        self._officers = [read_signing_key(path) for path in keys[:2]]
        self._orders: dict[bytes, Envelope] = {}
        self._untold: Envelope | None = None
        self._said = 0
        self._licenses: dict[bytes, bytes] = {}

    def __enter__(self) -> Self:
        self.switch.arm(None)
        self._governor.start()
        self._members = [self._member(number) for number in range(3)]
        for member in self._members:
            member.join()
        return self

    def __exit__(self, *_: object) -> None:
        self._governor.stop(signal.SIGKILL)

    @property
    def _online(self) -> list[Member]:
        """The third one has no link, those that follow only join."""
        return self._members[:2]

    def _member(self, number: int) -> Member:
        if number % TOKEN_HOSTS == 0:
            self._token = self._governor.token()
        return Member(FakeHost(number), Courier(self._governor, self._token), self._token)

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
        self._look()

    def _to_its_end(self) -> None:
        # A death before this one, or none, is what it starts from.
        if self._governor.launch():
            try:
                self._work()
                self._governor.stop()
            except (grpc.RpcError, UnreachableError) as error:
                self._ended(error)
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
        if "Traceback" in self._logged():
            raise CrashError(f"the governor met what it does not know: {self._logged()}")

    def _gave_up(self) -> None:
        """It ended before it served: it says why."""
        if (status := self._governor.stop()) not in {1, 2}:
            raise CrashError(f"the governor ended with {status}: {self._logged()}")
        check_told(self._logged(), "the governor")

    def put_store_back(self) -> None:
        """The store of now takes the place of a later one: what no governor survives."""
        older = copied(self._layout.root, self._folder / "older", self._layout.store.name)
        self.live("governor", None)
        for path in self._layout.root.glob(f"{self._layout.store.name}*"):
            path.unlink()
        for path in older.parent.iterdir():
            shutil.copy(path, self._layout.root)

    def _ended(self, error: Exception | None) -> None:
        """Whoever ends must have been killed."""
        process = self._governor.process
        if not self.switch.struck or process is None:
            raise CrashError(f"the governor lives and refused: {error}")
        if (status := process.wait()) != -signal.SIGKILL:
            raise CrashError(f"the governor ended with {status}: {self._logged()}")

    def _log(self) -> Path:
        return self._layout.root / "log"

    def _logged(self) -> str:
        """What this life said."""
        return self._log().read_text()[self._said :]

    # ------------------------------------------------------------------ a life

    def _work(self) -> None:
        for member in self._online:
            if member.certificate is not None and member.host.last_report is not None:
                # What was said last is answered as before, or for the first time.
                self._say(member, member.host.last_report)
        if self._untold is not None:
            self._order(self._untold)
        if self.figures.lives % JOINS_EACH == 0:
            self._members.append(self._member(len(self._members)))
        for member in self._members[-2:]:
            member.join()
        for member in self._online:
            self._report(member)
        self._officers_order()
        self._by_file(self._members[2])

    def _report(self, member: Member) -> None:
        for _ in range(2):
            self._say(member, member.host.report(UNIT_TFLOP))

    def _say(self, member: Member, report: Envelope) -> None:
        assert member.certificate is not None
        with member.courier.channel(member.certificate) as channel:
            link = OpenLink(channel)
            link.send(report)
            member.take(link.receive())
            link.close()

    def _officers_order(self) -> None:
        nonce = self.figures.lives.to_bytes(16)
        pause = Pause(
            authority=AUTHORITY,
            scope=Scope(ScopeKind.CLUSTER, "c9"),
            nonce=nonce,
            reason="drill",
            emergency=False,
            lapse_ms=None,
        )
        digest = self._order(self._signed(pause))
        resume = Resume(authority=AUTHORITY, lifts=(digest,), nonce=nonce, reason="drilled")
        self._order(self._signed(resume))
        (budget,) = self._policy.budgets
        more = Budget(scope=CLUSTER, cap_tflop=budget.cap_tflop + 2 * UNIT_TFLOP)
        version = self._policy.version + 1
        self._policy = replace(self._policy, version=version, budgets=(more,))
        self._order(self._signed(self._policy))

    def _signed(self, order: Order) -> Envelope:
        return seal(*encode_order(order), self._officers)

    def _order(self, order: Envelope) -> bytes:
        self._untold = order
        submit(self._layout, order)
        self._orders[order.digest] = order
        self._untold = None
        return order.digest

    def _by_file(self, member: Member) -> None:
        """Reports are carried, one of them asks for a license, and is given it."""
        host = member.host
        member.made += [host.report(), asking(host, ask_tflop=UNIT_TFLOP, span_ms=SPAN_MS)]
        # All since the file that was taken last; what is on record of it is passed over.
        told = ReportingHost(host_id=host.host_id, name="", reports=len(member.made))
        path = self._folder / "site.chain"
        path.write_bytes(
            b"".join(write_reports(CHAIN_KIND, [(told, map(CarriedReport, member.made))]))
        )
        (taken,) = take_chains(self._layout, path)
        if taken.sequence != host.sequence:
            raise CrashError(f"{taken.sequence} of {host.sequence} reports were taken (law 9)")
        request = member.made[-1]
        member.made.clear()
        self._license(request)

    def _license(self, request: Envelope) -> None:
        now_ms = time.time_ns() // 1_000_000
        approval = LicenseApproval(
            authority=AUTHORITY,
            requests=(request.digest,),
            not_before_unix_ms=now_ms,
            not_after_unix_ms=now_ms + HOUR_MS,
            span_ms=SPAN_MS,
            headroom_max_tflop=UNIT_TFLOP,
            reserve=False,
            nonce=self.figures.lives.to_bytes(16),
            reason="no link",
        )
        asked = pb.IssueLicensesRequest(
            requests=[request.digest], approval=envelope_to_wire(self._signed(approval))
        )
        for _ in range(2):
            for one in issue_licenses(self._layout, asked).licenses:
                answer = one.answer.answers[0].payload
                if self._licenses.setdefault(request.digest, answer) != answer:
                    raise CrashError("one request has two licenses (law 5)")

    # ------------------------------------------------------------------ after a death

    def _look(self) -> None:
        """Judge the store as it lies there: of a copy, for a look recovers what is broken."""
        store = copied(self._layout.root, self._folder / "copy", self._layout.store.name)
        try:
            check_store(store, {one.host.host_id: one.answers for one in self._members})
        except AssertionError as error:
            raise CrashError(
                f"the store does not agree with what was told: {format_exc(limit=-1)}"
            ) from error
        with closing(sqlite3.connect(store)) as connection:
            found = list(_wrong(connection, self._orders, self._members))
        if found:
            raise CrashError("; ".join(found))


def _wrong(
    store: sqlite3.Connection, orders: dict[bytes, Envelope], members: list[Member]
) -> Iterator[str]:
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
