"""A throwaway authority with real keys: it signs whatever a test wants, right or wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from flopgate_agent.gate.settings import GateToken
from flopgate_proto.batches import ProvenAnswer, seal_batch
from flopgate_proto.codec import PayloadType, decode_enrolment, decode_report, encode_answer
from flopgate_proto.codec.answers import encode_admission
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.phases import phase_at
from flopgate_proto.values import (
    Admission,
    Answer,
    Ceiling,
    Pause,
    Policy,
    Report,
    Resume,
    Scope,
    Terms,
    Verdict,
)
from tests.support import orders
from tests.support.fixed import (
    AUTHORITY,
    GOVERNOR_UNIX_MS,
    OFFICER_KEYS,
    PERMIT_KEY,
    SCOPES,
    TOKEN_ID,
    TOKEN_SECRET,
)

QUICK: dict[str, Any] = {
    "lifetime_ms": 20_000,
    "wind_down_ms": 4_000,
    "renew_after_ms": 4_000,
    "drain_ms": 2_000,
    "watchdog_ms": 10_000,
    "exempt_lifetime_ms": 60_000,
}
"""Spans short enough that a test sees many of them."""


class GateAuthority:
    """Grants ``headroom`` above what each report says, unless told otherwise.

    Attributes:
        refuses: verdicts by workload that replace the grant.
        pauses: digests that answers name.
        whose: name and id, as orders have them.
        policy: in force; change it and send ``policy_order()``.
        terms: fields of `Terms` that differ from the policy.
        ceiling_tflop: granted instead of what is asked for.
        unix_ms: its time, as answers and admissions tell it.
    """

    def __init__(
        self,
        name: str = AUTHORITY,
        *,
        permit_key: SigningKey = PERMIT_KEY,
        root: Envelope | None = None,
    ) -> None:
        self.name = name
        self.permit_key = permit_key
        self.root = root or orders.sealed_order(orders.trust_root(authority=name))
        self.whose = {"authority": name, "authority_id": self.root.digest}
        self.policy: Policy = orders.policy(**self.whose, **QUICK)
        self.trust_root_digest = b""
        self.later_trust_roots: tuple[bytes, ...] = ()
        self.scopes: tuple[Scope, ...] = SCOPES
        self.refuses: dict[str, Verdict] = {}
        self.pauses: tuple[bytes, ...] = ()
        self.terms: dict[str, Any] = {}
        self.ceiling_tflop: int | None = None
        self.unix_ms = GOVERNOR_UNIX_MS
        self.batch_number = 0
        self.previous = bytes(32)
        self._nonces = 0

    def token(self) -> GateToken:
        """What the gate keeps of the join token."""
        return GateToken(
            authority=self.name,
            trust_root_digest=self.root.digest,
            cluster="hall-1",
            custodian="operator.example",
            site="site-1",
            jurisdiction="XX",
            token_id=TOKEN_ID,
            secret=TOKEN_SECRET,
            later_trust_roots=self.later_trust_roots,
        )

    def delegation(self, **fields: Any) -> Envelope:
        """Lets the permit key sign."""
        values = self.whose | {"permit_spki": self.permit_key.spki} | fields
        return orders.sealed_order(orders.delegation(**values))

    def policy_order(self, **fields: Any) -> Envelope:
        """The policy in force, or a changed one that is in force from now on."""
        if fields:
            values = {"version": self.policy.version + 1} | fields
            self.policy = orders.policy(**(self.whose | QUICK | values))
        return orders.sealed_order(self.policy)

    def first_orders(self) -> list[Envelope]:
        """What `Enroll` returns beside the admission."""
        return [self.root, self.delegation(), self.policy_order()]

    def _nonce(self) -> bytes:
        self._nonces += 1
        return hashlib.sha256(f"{self.name} {self._nonces}".encode()).digest()[:16]

    def pause(self, *, officers: int = 1, **fields: Any) -> Envelope:
        """A new pause."""
        order: Pause = orders.pause(**(self.whose | {"nonce": self._nonce()} | fields))
        return orders.sealed_order(order, OFFICER_KEYS[:officers])

    def resume(self, *lifts: bytes, officers: int = 2) -> Envelope:
        """Lifts these pauses."""
        order: Resume = orders.resume(**self.whose, nonce=self._nonce(), lifts=lifts)
        return orders.sealed_order(order, OFFICER_KEYS[:officers])

    def admission(self, enrolment: Envelope, **fields: Any) -> Envelope:
        """Admits the host that asks."""
        value = decode_enrolment(enrolment.payload)
        values: dict[str, Any] = {
            "authority": self.name,
            "host_id": key_digest(value.host_spki),
            "enrolment_digest": enrolment.digest,
            "scopes": self.scopes,
            "governor_unix_ms": self.unix_ms,
            "trust_root_digest": self.trust_root_digest or self.root.digest,
            "policy_digest": self.policy_order().digest,
        }
        admission = Admission(**(values | fields))
        return seal(PayloadType.ADMISSION, encode_admission(admission), [self.permit_key])

    def verdicts(self, report: Report) -> tuple[Verdict, ...]:
        """What each lane that asks gets."""
        if report.request is None:
            return ()
        allotted = {lane.workload: lane.allotted_tflop for lane in report.lanes}
        return tuple(
            self.refuses.get(asked.workload)
            or Verdict(
                workload=asked.workload,
                outcome=Ceiling(
                    ceiling_tflop=allotted[asked.workload] + asked.headroom_tflop
                    if self.ceiling_tflop is None
                    else self.ceiling_tflop
                ),
            )
            for asked in report.request.lanes
        )

    def answer_to(self, report: Envelope, **fields: Any) -> Answer:
        """The answer to a report; each field can be overridden."""
        value = decode_report(report.payload)
        verdicts: Iterable[Verdict] = fields.get("verdicts", self.verdicts(value))
        granted = any(isinstance(verdict.outcome, Ceiling) for verdict in verdicts)
        terms: dict[str, Any] = {
            "lifetime_ms": self.policy.lifetime_ms,
            "wind_down_ms": self.policy.wind_down_ms,
            "renew_after_ms": self.policy.renew_after_ms,
            "exempt": False,
            "phase": phase_at(self.policy.phases, self.scopes, self.unix_ms),
        }
        values: dict[str, Any] = {
            "authority": self.name,
            "host_id": value.host_id,
            "request_digest": report.digest,
            "run_nonce": value.run_nonce,
            "acknowledged_sequence": value.sequence,
            "acknowledged_head": report.digest,
            "governor_unix_ms": self.unix_ms,
            "scopes": self.scopes,
            "pauses": self.pauses,
            "policy_version": self.policy.version,
            "verdicts": verdicts,
            "terms": Terms(**(terms | self.terms)) if granted else None,
        }
        return Answer(**(values | fields))

    def prove(self, answers: Sequence[Answer], **fields: Any) -> list[ProvenAnswer]:
        """The answers as the leaves of the next batch."""
        self.batch_number += 1
        values: dict[str, Any] = {
            "origin": self.name,
            "batch_number": self.batch_number,
            "previous": self.previous,
            "signer": self.permit_key,
            "policy_digest": self.policy_order().digest,
        }
        root, proven = seal_batch([encode_answer(one) for one in answers], **(values | fields))
        self.previous = root.digest
        return proven

    def answer(self, report: Envelope, **fields: Any) -> ProvenAnswer:
        """One answer in a batch of its own."""
        return self.prove([self.answer_to(report, **fields)])[0]
