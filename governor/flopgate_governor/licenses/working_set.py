"""The working set of one transaction that gives licenses (laws 2, 5 and 7).

Each host is judged as for a permit. Approval, budgets, answers and log entry are one transaction;
what is given is stored by the digest of its request with the bytes as they were signed. A request
that was given a license under the same approval is given no other: the same bytes leave again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from flopgate_governor.core.decide import Standing
from flopgate_governor.core.facts import (
    Books,
    Chain,
    HostFacts,
    IssuedAnswer,
    LaneFacts,
    lane_scopes,
)
from flopgate_governor.core.licenses.approvals import Approved
from flopgate_governor.core.licenses.judging import AskedLicense, Decided, answer_to, judge
from flopgate_governor.core.lineage import keys
from flopgate_governor.core.pauses import not_lapsed, pauses_for
from flopgate_governor.core.quotes import next_number
from flopgate_governor.replies import Sealed, seal_answers
from flopgate_governor.silences import listen
from flopgate_governor.state import State
from flopgate_governor.store import budgets, license_rows, records
from flopgate_governor.store.license_rows import Wished
from flopgate_governor.store.logbook import write_batch, write_log
from flopgate_governor.store.prepared import Row
from flopgate_proto.codec import PayloadType, encode_answer, envelope_to_wire
from flopgate_proto.codec.answers import fill_verdict
from flopgate_proto.codec.licenses import terms_to
from flopgate_proto.envelope import Envelope, statement_digest
from flopgate_proto.errors import HistoryError
from flopgate_proto.orders.held import LatchedPause
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import SingleUse


@dataclass(slots=True, kw_only=True)
class LicenseWork:
    """Requests under one approval, judged one after the other.

    Attributes:
        under: digest of the approval under which a request was given a license before.
        known: whether the approval is on record.
        told: of hosts, when they were told of each pause that lapses.
    """

    state: State
    approved: Approved
    asked: dict[bytes, AskedLicense]
    under: dict[bytes, bytes]
    known: bool
    facts: dict[bytes, HostFacts]
    lanes: dict[bytes, dict[str, LaneFacts]]
    told: dict[bytes, dict[bytes, int]]
    standing: Standing
    number: int
    books: Books = field(default_factory=Books)
    decided: dict[bytes, Decided] = field(default_factory=dict)
    before: dict[tuple[bytes, str], LaneFacts] = field(default_factory=dict)
    payloads: dict[bytes, bytes] = field(default_factory=dict)
    sealed: Sealed | None = None

    @classmethod
    def load(
        cls, connection: Connection, state: State, approved: Approved, requests: list[bytes]
    ) -> LicenseWork:
        """Read what these requests are judged by.

        Raises:
            HistoryError: one of them is not on record.
        """
        wished = license_rows.load_asked(connection, requests)
        missing = next((digest for digest in requests if digest not in wished), None)
        if missing is not None:
            raise HistoryError(
                f"no report {missing.hex()[:16]} that asks for a license is on record",
                code="license.request-unknown",
                remedy="Deliver the file with its reports first.",
            )
        ids = {one.report.host_id for one in wished.values()}
        hosts = {host_id: state.read(connection, host_id) for host_id in ids}
        known = {host_id: host for host_id, host in hosts.items() if host is not None}
        chains = records.load_chains(connection, known)
        scopes = {
            scope
            for one in wished.values()
            for lane in one.report.lanes
            for scope in lane_scopes(known[one.report.host_id], lane.workload)
        }
        for one in wished.values():
            custodian = known[one.report.host_id].custodian
            for lane in one.report.lanes:
                scopes |= keys(state.book.orders.works, custodian, lane.workload)
        budgets.learn_totals(connection, scopes, state.totals)
        in_tpm = license_rows.in_tpm(connection, ids)
        unix_ms = state.now_ms()
        return cls(
            state=state,
            approved=approved,
            asked={digest: _asked(wished[digest], in_tpm) for digest in requests},
            under=license_rows.load_given_under(connection, requests),
            known=license_rows.has_approval(connection, approved.digest),
            facts={host_id: chain.facts for host_id, chain in chains.items()},
            lanes={host_id: dict(chain.lanes) for host_id, chain in chains.items()},
            told=records.load_told(connection, ids),
            standing=state.standing(unix_ms, listen(connection, state, unix_ms)),
            number=next_number(state.batch_number, unix_ms, state.book.ahead),
        )

    def judge(self, books: Books) -> None:
        """Decide each request; ``books`` is moved by what is given."""
        self.books = books
        for digest, asked in self.asked.items():
            if digest in self.under:
                continue
            host_id = asked.report.host_id
            facts, lanes = self.facts[host_id], self.lanes[host_id]
            pauses = self._pauses(asked, facts)
            decided = judge(
                asked,
                self.approved,
                host=facts,
                lanes=lanes,
                books=books,
                standing=self.standing,
                pauses=pauses,
            )
            self.decided[digest] = decided
            if decided.terms is None:
                continue
            for workload, lane in decided.lanes.items():
                known = lanes.get(workload) or LaneFacts(workload=workload)
                if lane is not known:
                    self.before.setdefault((host_id, workload), known)
            self.lanes[host_id] = dict(decided.lanes)
            self._answer(digest, asked, decided, facts, pauses)

    def given(self) -> list[bytes]:
        """Requests that have a license under this approval, now or from before."""
        return [
            digest
            for digest in self.asked
            if digest in self.payloads or self.under.get(digest) == self.approved.digest
        ]

    def issued(self) -> list[pb.IssuedLicense]:
        """What each request gets, or why not, in their order."""
        return [self._issued(digest) for digest in self.asked]

    def seal(self, connection: Connection, envelope: Envelope) -> None:
        """Sign what is given and write all of it; the caller commits. Nothing where none is."""
        if not self.payloads:
            return
        sealed = self.sealed = self._sign(envelope)
        write_log(connection, sealed.appended)
        write_batch(connection, sealed.number, self.standing.unix_ms, sealed.root, sealed.proof)
        grants: list[Row] = []
        for (host_id, workload), before in self.before.items():
            grants += records.grant_rows(host_id, before, self.lanes[host_id][workload])[0]
        ids = {self.asked[digest].report.host_id for digest in self.payloads}
        records.write(
            connection,
            records.Writes(
                hosts=[records.host_row(self.facts[host_id]) for host_id in ids],
                lanes=[records.lane_row(h, self.lanes[h][w]) for h, w in self.before],
                grants=grants,
                cut_grants=[],
                reports=[],
                told=[],
                evidence=[],
                licenses=[],
                wishes=[],
            ),
            self.books,
        )
        license_rows.write_given(
            connection,
            approval={
                "digest": envelope.digest,
                "envelope": envelope_to_wire(envelope).SerializeToString(),
                "unix_ms": self.standing.unix_ms,
            },
            given=self._given_rows(sealed),
            lanes=self._lane_rows(),
        )

    def settle_state(self) -> None:
        """Move the writer's memory on, now that the transaction is durable."""
        if self.sealed is None:
            return
        for digest in self.payloads:
            host_id = self.asked[digest].report.host_id
            chain = Chain(facts=self.facts[host_id], lanes=self.lanes[host_id])
            self.state.chains[host_id] = chain
        self.state.batch_number = self.sealed.number
        self.state.batch_digest = self.sealed.digest
        self.state.frontier = self.sealed.appended.frontier
        self.state.unix_ms = self.standing.unix_ms
        # Who holds a license may say nothing.
        self.state.silence = None

    def _pauses(self, asked: AskedLicense, facts: HostFacts) -> tuple[LatchedPause, ...]:
        workloads = [lane.workload for lane in asked.report.lanes]
        found = pauses_for(self.state.book.orders.pauses, facts.host.scopes, workloads)
        told_ms = self.told.get(facts.host.host_id, {})
        return not_lapsed(found, facts.running_ms, told_ms, self.standing.unix_ms)

    def _answer(
        self,
        digest: bytes,
        asked: AskedLicense,
        decided: Decided,
        facts: HostFacts,
        pauses: tuple[LatchedPause, ...],
    ) -> None:
        answer = answer_to(
            asked,
            decided,
            authority=self.state.authority,
            host=facts,
            pauses=pauses,
            standing=self.standing,
        )
        payload = self.payloads[digest] = encode_answer(answer)
        self.facts[facts.host.host_id] = facts.answered(
            IssuedAnswer(
                digest=statement_digest(PayloadType.ANSWER, payload),
                batch_number=self.number,
                governor_unix_ms=self.standing.unix_ms,
            )
        )

    def _issued(self, digest: bytes) -> pb.IssuedLicense:
        told = pb.IssuedLicense(host_id=self.asked[digest].report.host_id, request=digest)
        decided = self.decided.get(digest)
        if decided is None:
            told.given_under = self.under[digest]
            return told
        for verdict in decided.verdicts:
            fill_verdict(told.verdicts.add(), verdict)
        told.reserved_tflop.extend(decided.held_tflop)
        if decided.terms is not None and decided.terms.license is not None:
            told.span_ms = decided.terms.lifetime_ms
            told.terms.CopyFrom(terms_to(decided.terms.license))
        return told

    def _sign(self, envelope: Envelope) -> Sealed:
        return seal_answers(
            self.state,
            list(self.payloads.values()),
            number=self.number,
            policy_digest=self.state.book.orders.policy_digest,
            logged_first=[] if self.known else [envelope],
        )

    def _given_rows(self, sealed: Sealed) -> list[Row]:
        approval = self.approved.approval
        rows: list[Row] = []
        for (digest, payload), answer in zip(self.payloads.items(), sealed.answers, strict=True):
            asked, decided = self.asked[digest], self.decided[digest]
            rows.append(
                {
                    "request_digest": digest,
                    "host_id": asked.report.host_id,
                    "sequence": asked.report.sequence,
                    "approval": self.approved.digest,
                    "reserve": int(approval.reserve),
                    "single_use": int(asked.single_use),
                    "span_ms": 0 if decided.terms is None else decided.terms.lifetime_ms,
                    "not_after_unix_ms": approval.not_after_unix_ms,
                    "answer": payload,
                    "answer_digest": statement_digest(PayloadType.ANSWER, payload),
                    "answer_index": answer.index,
                    "answer_path": records.joined(answer.path),
                    "batch_number": self.number,
                }
            )
        return rows

    def _lane_rows(self) -> list[Row]:
        return [
            {
                "host_id": self.asked[digest].report.host_id,
                "workload": workload,
                "request_digest": digest,
                "ceiling_tflop": grant.license.told_tflop,
                "held_tflop": grant.held_tflop,
            }
            for digest in self.payloads
            for workload, lane in self.decided[digest].lanes.items()
            for grant in lane.grants
            if grant.license is not None and grant.request_digest == digest
        ]


def _asked(wished: Wished, in_tpm: frozenset[bytes]) -> AskedLicense:
    backed = wished.report.host_id in in_tpm and wished.report.tpm is not None
    return AskedLicense(
        report=wished.report,
        digest=wished.digest,
        stale=wished.stale,
        single_use=SingleUse.TPM if backed else SingleUse.SOFTWARE,
    )
