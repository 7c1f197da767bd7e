"""`flopgate-governor serve`, struck at each of its writes, and hosts that speak to it over TLS.

One store lives through all deaths. In each life the governor recovers, answers once more what it
was asked before its death, and is given work of every kind: a host joins, hosts report and spend
what they are granted, officers pause, resume and raise the cap, reports come by file, a license is
issued, and it is told to stop.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from flopgate_governor.desk.client import issue_licenses
from flopgate_governor.desk.deliveries import take_chains
from flopgate_governor.policies.form import read_policy
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.files import CHAIN_KIND, CarriedReport, ReportingHost, write_reports
from flopgate_proto.joining import JoinToken
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Budget, LicenseApproval, Pause, Resume, Scope, ScopeKind
from tests.support.crash.figures import CrashError, copied
from tests.support.crash.governor_lives import CLUSTER, UNIT_TFLOP, GovernorLives, Member
from tests.support.governor import AUTHORITY, FakeHost
from tests.support.governor_licenses import asking
from tests.support.governor_process import Courier, OpenLink

SPAN_MS: Final = 600_000
HOUR_MS: Final = 3_600_000
TOKEN_HOSTS: Final = 40
"""One token is for so many hosts, and for some more."""
JOINS_EACH: Final = 4
"""A host joins in one life of so many: the store is to grow, and not without end."""


class GovernorScene(GovernorLives):
    """One governor with one store; use it in a ``with`` statement.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "governor")
        self._token: JoinToken
        self._policy = read_policy(self._form, AUTHORITY, 1)
        self._licenses: dict[bytes, bytes] = {}

    def __enter__(self) -> Self:
        self.switch.arm(None)
        self._governor.start()
        self._members = [self._member(number) for number in range(3)]
        for member in self._members:
            member.join()
        return self

    def _told(self) -> Iterable[Member]:
        return self._members

    @property
    def _online(self) -> list[Member]:
        """The third one has no link, those that follow only join."""
        return self._members[:2]

    def _member(self, number: int) -> Member:
        if number % TOKEN_HOSTS == 0:
            self._token = self._governor.token()
        return Member(FakeHost(number), Courier(self._governor, self._token), self._token)

    def put_store_back(self) -> None:
        """The store of now takes the place of a later one: what no governor survives."""
        older = copied(self._layout.root, self._folder / "older", self._layout.store.name)
        self.live("governor", None)
        for path in self._layout.root.glob(f"{self._layout.store.name}*"):
            path.unlink()
        for path in older.parent.iterdir():
            shutil.copy(path, self._layout.root)

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
