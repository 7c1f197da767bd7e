"""Which online keys an authority's officers revoked, and what such a key is worth afterwards."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_proto.envelope import Envelope
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Delegation, Order, Policy, Revocation, TrustRoot
from flopgate_sim.world.nature.clocks import PPM
from flopgate_sim.world.nature.engine import US_PER_MS
from flopgate_sim.world.truths.orders import by_quorum, signed_by

OLDER: Final = frozenset({"answer.number", "answer.equivocation"})
"""Codes by which a gate refuses an answer for the number of another one."""
_UNKNOWN: Final = frozenset({"quote.unproven", "quote.conflicting"})
"""Why a governor takes no report that quotes what it never gave."""


@dataclass(slots=True)
class KeyTruth:
    """One authority.

    Attributes:
        revoked: ids of keys; a store that was put back may have forgotten some.
        disowned: digests of reports of one batch that quote what a thief signed with one, and have
            its root beside them.
    """

    revoked: set[str] = field(default_factory=set)
    disowned: set[bytes] = field(default_factory=set)
    _bare: set[bytes] = field(default_factory=set)
    _spkis: dict[str, bytes] = field(default_factory=dict)

    def ordered(self, envelope: Envelope, order: Order, root: TrustRoot) -> None:
        """An order was taken."""
        if isinstance(order, Delegation):
            self._spkis[VerifyingKey(order.permit_spki).key_id] = order.permit_spki
        if isinstance(order, Revocation) and by_quorum(envelope, root):
            self.revoked.add(order.key_digest.hex())

    def misused(self, batch: pb.AnswerBatch, told: Collection[bytes]) -> Iterator[tuple[int, str]]:
        """New answers under a revoked key; what it signed before goes out again.

        ``told``: requests that were answered before.
        """
        (signature,) = batch.batch_root.signatures
        if signature.keyid not in self.revoked:
            return
        for leaf in batch.answers:
            if pb.Answer.FromString(leaf.payload).request_digest not in told:
                yield 7, f"an answer is signed by the revoked key {signature.keyid[:12]}"

    def begin(self) -> None:
        """Another batch: what a report brought before, it need not bring again."""
        self.disowned.clear()
        self._bare.clear()

    def offered(
        self, signed: pb.SignedReport, report: pb.Report, digest: bytes, gave: Container[bytes]
    ) -> None:
        """A report is about to be judged; ``gave``: digests of answers that really left."""
        for root in signed.quoted_roots if self.revoked else ():
            (signature,) = root.signatures
            if signature.keyid not in self.revoked or not signed_by(
                root, self._spkis[signature.keyid]
            ):
                continue
            said = pb.BatchRoot.FromString(root.payload)
            if any(
                (quote.authority, quote.batch_number) == (said.origin, said.batch_number)
                and quote.answer_digest not in gave
                for quote in report.quotes
            ):
                self.disowned.add(digest)
                return
        self._bare.add(digest)

    def turned_away(self, notices: Iterable[pb.Notice]) -> Iterator[tuple[int, str]]:
        """A gate that a thief misled is believed, or it would never get another answer."""
        for notice in notices:
            shown = notice.statement_digest in self.disowned - self._bare
            if notice.reason in _UNKNOWN and shown:
                yield 8, f"{notice.reason} of what was quoted of a thief, under a revoked key"

    def granted(self, request_digest: bytes) -> Iterator[tuple[int, str]]:
        """A grant leaves: nothing is granted beside a thief's answer."""
        if request_digest in self.disowned:
            yield 4, "a grant beside an answer of a thief, under a revoked key"


@dataclass(slots=True)
class HeardKeys:
    """Of one host.

    Attributes:
        revoked_us: by authority and key id, when a revocation was kept here.
        faults: what went wrong, in words.
    """

    revoked_us: dict[tuple[str, str], int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _until_us: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    _newest: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def granted(self, key: tuple[str, str], signer: str, until_us: int) -> int:
        """A key lets a lane of an authority work until then; up to when all keys together do."""
        until = self._until_us.setdefault(key, {})
        until[signer] = max(until.get(signer, 0), until_us)
        return max(until.values())

    def booted(self) -> None:
        """What was granted before counts no more."""
        self._until_us.clear()

    def revoked(
        self, order: Revocation, policy: Policy | None, now_us: int
    ) -> Iterator[tuple[tuple[str, str], int]]:
        """A revocation was kept under this policy: up to when lanes may work that it cuts short.

        What the key signed lasts a lifetime from now at most.
        """
        signer, lifetime_us = order.key_digest.hex(), 0
        if policy is not None:
            lifetime_us = policy.lifetime_ms * US_PER_MS * (PPM + policy.drift_ppm) // PPM
        most_us = now_us + lifetime_us
        self.revoked_us.setdefault((order.authority, signer), now_us)
        for key, until in self._until_us.items():
            if key[0] == order.authority and until.get(signer, 0) > most_us:
                until[signer] = most_us
                yield key, max(until.values())

    def rolled_back(self, taken_us: int) -> None:
        """An older ledger was put back, as it was then."""
        self.revoked_us = {key: us for key, us in self.revoked_us.items() if us <= taken_us}

    def heard(self, authority: Authority, answered: bytes, signer: str, refused: str) -> bool:
        """An answer under this key came to the gate: whether it is the newest now.

        ``answered`` was that before; ``refused``: why the gate did not take this one, by its code.
        """
        name, newest = authority.name, authority.quote.answer_digest
        if newest != answered:
            self._newest[name] = newest, signer
            return True
        digest, former = self._newest.get(name, (b"", ""))
        over = digest == answered and (name, former) in self.revoked_us
        if over and refused in OLDER and (name, signer) not in self.revoked_us:
            text = f"{refused} of an answer under {signer[:12]}: one under the revoked key"
            self.faults.append(f"{text} {former[:12]} is taken for newer")
        return False
