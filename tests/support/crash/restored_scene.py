"""A governor whose folder was put back from a backup, struck at each write until it is reconciled.

Each life begins with the same backup: the folder as it was copied while the governor was stopped.
Since then hosts were granted more and spent it, and an officer paused; all of that is lost. A host
sends it again, with the roots that prove it, and hands the pause back; one that noticed nothing
reports, too; officers sign a reconciliation. Whenever it dies: who was told once that the governor
was rolled back is never granted anything before the officers signed, nor while lost grants may run;
the pause, once the host was answered, and the reconciliation, once it was taken, stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from flopgate_governor.desk.client import submit
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Pause, Reconciliation, Scope, ScopeKind
from tests.support.crash.figures import CrashError
from tests.support.crash.governor_lives import UNIT_TFLOP, GovernorLives, Member
from tests.support.crash.switch import Strike
from tests.support.governor import AUTHORITY, FakeHost
from tests.support.governor_process import Courier, OpenLink
from tests.support.quoted_roots import QuotedRoots

HALTED: Final = "governor.rolled-back"
WAITING: Final = "governor.reconciling"
OFFICERS: Final = 2


class RestoredScene(GovernorLives):
    """One governor, put back before each life; use it in a ``with`` statement.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "restored")
        self._roots = QuotedRoots()
        self._backup = folder / "backup"
        self._lost: list[Envelope] = []
        self._before: list[Member] = []
        self._members: list[Member] = []
        self._pause: Envelope
        self._reconciliation: Envelope
        self._finished = False
        self._signed_at_all = False
        self._seen = False

    def __enter__(self) -> Self:
        self._governor.env = {}
        self._governor.start()
        token = self._governor.token()
        hosts = [
            Member(FakeHost(number), Courier(self._governor, token), token) for number in range(2)
        ]
        for member in hosts:
            member.join()
            self._say(member, member.host.report(UNIT_TFLOP))
        self._governor.stop()
        shutil.copytree(self._layout.root, self._backup)
        before = [dict(member.answers) for member in hosts]
        self._governor.start()
        away = hosts[0]
        for _ in range(3):
            self._lost.append(away.host.report(UNIT_TFLOP))
            self._say(away, self._lost[-1])
        nonce = bytes(16)
        scope = Scope(ScopeKind.CLUSTER, "c9")
        self._pause = self._signed(
            Pause(
                authority=AUTHORITY,
                scope=scope,
                nonce=nonce,
                reason="drill",
                emergency=False,
                lapse_ms=None,
            )
        )
        submit(self._layout, self._pause)
        self._governor.stop()
        self._reconciliation = self._signed(
            Reconciliation(
                authority=AUTHORITY,
                batch_number=away.host.quote.batch_number,
                nonce=nonce,
                reason="the disk was put back",
            )
        )
        self._before = [
            replace(member, answers=answers) for member, answers in zip(hosts, before, strict=True)
        ]
        return self

    def _told(self) -> Iterable[Member]:
        return self._members

    def live(self, program: str, strike: Strike | None) -> None:
        """One life from the backup; where it ended early, another one that does all of the work.

        Raises:
            CrashError: something did not survive.
        """
        self._put_back()
        self._governor.env = self.switch.env
        super().live(program, strike)
        if not self._finished:
            self._again()

    def forget(self) -> None:
        """A life, and the backup in the place of what was told in it: what no governor survives."""
        self.live("governor", None)
        self._copy_back()
        self._again()

    def _again(self) -> None:
        """A life without a bad day does all of the work."""
        self._governor.env = {}
        self._governor.start()
        self._work()
        if (status := self._governor.stop()) != 0:
            raise CrashError(f"the governor ended with {status}: {self._logged()}")
        self._look()

    def _copy_back(self) -> None:
        self._governor.stop()
        log = self._log().read_bytes()
        shutil.rmtree(self._layout.root)
        shutil.copytree(self._backup, self._layout.root)
        self._log().write_bytes(log)

    def _put_back(self) -> None:
        self._copy_back()
        self._members = [
            replace(one, host=copy(one.host), answers=dict(one.answers), made=[])
            for one in self._before
        ]
        self._orders = {}
        self._finished = self._signed_at_all = self._seen = False

    def _work(self) -> None:
        away, other = self._members
        if self._seen:
            # It holds no proof: that the governor remembers is all that refuses it.
            self._refused(other, self._next(other))
        self._refused(away, *self._lost, self._next(away), held=(self._pause,))
        self._orders[self._pause.digest] = self._pause
        self._seen = True
        self._refused(other, self._next(other))
        self._signed_at_all = True
        self._order(self._reconciliation)
        for member in (other, away):
            self._refused(member, self._next(member))
        self._finished = True

    def _next(self, member: Member) -> Envelope:
        member.made.append(member.host.report(UNIT_TFLOP))
        return member.made[-1]

    def _say(self, member: Member, report: Envelope) -> None:
        assert member.certificate is not None
        with member.courier.channel(member.certificate) as channel:
            link = OpenLink(channel)
            link.send(report)
            down = link.receive()
            self._roots.note(*down.batches)
            member.take(down)
            link.close()

    def _refused(self, member: Member, *reports: Envelope, held: tuple[Envelope, ...] = ()) -> None:
        """Say all that it said since the backup, and hear that none of it is granted.

        Raises:
            CrashError: some of it is, or not for the reason that there is.
        """
        assert member.certificate is not None
        fresh = reports[-1]
        # What was answered before a death is answered so again.
        said = list(dict.fromkeys((*reports[:-1], *member.made)))
        reconciled = self._reconciliation.digest in self._orders
        with member.courier.channel(member.certificate) as channel:
            link = OpenLink(channel)
            orders = [pb.SignedOrder(envelope=envelope_to_wire(one)) for one in held]
            link.say(pb.LinkUp(reports=self._roots.beside(*said), held_orders=orders))
            while member.answers.keys().isdisjoint({member.host.sequence}):
                member.take(link.receive())
            link.close()
        reason = reason_in(member.answers[member.host.sequence])
        if reason not in ({WAITING} if reconciled else {HALTED, WAITING}):
            raise CrashError(f"report {fresh.digest.hex()[:8]} came to {reason or 'a grant'}")
        if reason == WAITING and not self._signed_at_all:
            raise CrashError("it is reconciled, and no officer signed (law 4)")


def reason_in(payload: bytes) -> str:
    """Why an answer refuses; empty where it grants."""
    (verdict,) = pb.Answer.FromString(payload).verdicts
    return verdict.refusal.reason
