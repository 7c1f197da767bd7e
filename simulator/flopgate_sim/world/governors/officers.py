"""The officers of one authority: their keys, and the orders that they sign."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from flopgate_proto.codec import encode_order
from flopgate_proto.envelope import Envelope, cosign, seal
from flopgate_proto.keys import SigningKey
from flopgate_proto.trust import ROLE_OF, SINGLE_ROLES
from flopgate_proto.values.common import Phase, Scope, ScopeKind, Standing
from flopgate_proto.values.licenses import LicenseApproval
from flopgate_proto.values.orders import (
    Budget,
    Delegation,
    Key,
    Order,
    Pause,
    PhaseRule,
    Policy,
    Reconciliation,
    Resume,
    Revocation,
    Role,
    Seat,
    Seats,
    TrustRoot,
    Veto,
)
from flopgate_sim.world.nature.randomness import Streams

WIDE_LAPSE_MS = 72 * 3600 * 1000


class Officers:
    """Some officers of whom a quorum loosens and one alone pauses.

    Attributes:
        permit: the online key that their governor starts with.
        stolen: former ones, that thieves may have.
        issued: everything that they signed, oldest first.
        authority_id: digest of their first trust root.
    """

    def __init__(
        self,
        streams: Streams,
        authority: str,
        policy: Policy,
        *,
        count: int = 3,
        quorum: int = 2,
        founding: str = "root",
    ) -> None:
        self.authority = authority
        self.authority_id = b""
        self.permit = streams.key(f"permit/{authority}")
        self.stolen: list[SigningKey] = []
        self.log = _ed25519(streams.entropy(f"log/{authority}", 32))
        self._streams = streams
        self._keys = [streams.key(f"officer/{authority}/{number}") for number in range(count)]
        self._quorum = quorum
        self._nonces = self._seats = self._permits = self._delegations = 0
        self.issued: list[Envelope] = []
        self.trust_root = self._trust_root(streams.entropy(f"{founding}/{authority}", 16))
        self.root = self.sign(self.trust_root)
        self.authority_id = self.root.digest
        self.policy = replace(policy, authority=authority, authority_id=self.authority_id)

    def _trust_root(self, nonce: bytes) -> TrustRoot:
        everyone = tuple(range(len(self._keys)))
        return TrustRoot(
            authority=self.authority,
            version=1,
            keys=tuple(
                Key(name=f"officer-{number}", spki=key.spki)
                for number, key in enumerate(self._keys, start=1)
            ),
            roles=tuple(
                Role(
                    name=name,
                    threshold=1 if name in SINGLE_ROLES else self._quorum,
                    keys=everyone,
                )
                for name in sorted(set(ROLE_OF.values()))
            ),
            nonce=nonce,
        )

    def rehearsal(self) -> Officers:
        """The same officers with the same keys, as they rehearse under the same name."""
        return Officers(
            self._streams,
            self.authority,
            self.policy,
            count=len(self._keys),
            quorum=self._quorum,
            founding="rehearsal",
        )

    def sign(self, order: Order, signers: int | None = None) -> Envelope:
        """An order under the signatures of the quorum, or of so many."""
        signed = self._keys[: self._quorum if signers is None else signers]
        envelope = self._sealed(order, signed)
        self.issued.append(envelope)
        return envelope

    def _sealed(self, order: Order, keys: list[SigningKey]) -> Envelope:
        return seal(*encode_order(replace(order, authority_id=self.authority_id)), keys)

    def _nonce(self) -> bytes:
        self._nonces += 1
        return self._streams.entropy(f"nonce/{self.authority}/{self._nonces}", 16)

    def first_orders(self, span_ms: int) -> list[Envelope]:
        """Policy and delegation with which a governor begins."""
        return [self.sign(self.policy), self.delegation(self.permit, span_ms)]

    def next_permit(self) -> SigningKey:
        """Another online key, that nobody let sign yet."""
        self._permits += 1
        return self._streams.key(f"permit/{self.authority}/{self._permits}")

    def revocation(self, key: SigningKey) -> Envelope:
        """A quorum revokes a key."""
        return self.rule(Revocation, key_digest=bytes.fromhex(key.key_id))

    def delegation(self, key: SigningKey, span_ms: int) -> Envelope:
        """Lets an online key sign for a span of gate running time."""
        self._delegations += 1
        return self.sign(
            Delegation(
                authority=self.authority,
                serial=self._delegations,
                permit_spki=key.spki,
                span_ms=span_ms,
                least_policy_version=1,
            )
        )

    def pause(self, scope: Scope, *, emergency: bool = False) -> Envelope:
        """One officer pauses."""
        return self.sign(
            Pause(
                authority=self.authority,
                scope=scope,
                nonce=self._nonce(),
                reason="drill",
                emergency=emergency,
                lapse_ms=None if scope.kind is ScopeKind.CLUSTER else WIDE_LAPSE_MS,
            ),
            signers=1,
        )

    def resume(self, digests: tuple[bytes, ...]) -> Envelope:
        """A quorum lifts these pauses."""
        return self.sign(self._resume(digests))

    def rule(self, kind: Callable[..., Order], /, **fields: object) -> Envelope:
        """A quorum rules on a host, on clusters, or on a workload."""
        signed = {"authority": self.authority, "nonce": self._nonce(), "reason": "drill"}
        return self.sign(kind(**signed, **fields))

    def rogue_resume(self, digests: tuple[bytes, ...]) -> Envelope:
        """One officer lifts pauses, and signs twice."""
        return self._twice(self._resume(digests))

    def mixed_resume(self, digests: tuple[bytes, ...]) -> Envelope:
        """One officer lifts pauses, beside the other's signature over something else."""
        return self._mixed(self._resume(digests), self._resume((bytes(32),)))

    def rogue_approval(self, approval: LicenseApproval) -> Envelope:
        """One officer approves licenses, and signs twice."""
        return self._twice(approval)

    def mixed_approval(self, approval: LicenseApproval) -> Envelope:
        """One officer approves licenses, beside the other's signature for a shorter span."""
        return self._mixed(approval, replace(approval, span_ms=approval.span_ms // 2))

    def rogue_cap(self, scope: Scope, cap_tflop: int) -> Envelope:
        """One officer raises a cap, and signs twice."""
        budgets = (Budget(scope=scope, cap_tflop=cap_tflop),)
        newer = replace(self.policy, version=self.policy.version + 1, budgets=budgets)
        return self._twice(newer)

    def seats(self, recipients: tuple[str, ...], fallback_ms: int) -> Envelope:
        """A quorum says that others only receive, and of itself when it need not be asked."""
        self._seats += 1
        return self.sign(
            Seats(
                authority=self.authority,
                version=self._seats,
                seats=tuple(Seat(authority=one, standing=Standing.RECIPIENT) for one in recipients),
                reason="treaty",
                fallback_ms=fallback_ms,
            )
        )

    def veto(self, order: bytes) -> Envelope:
        """One officer ends what waits, and keeps no copy of it."""
        reason = "not inspected"
        veto = Veto(
            authority=self.authority, order_digest=order, nonce=self._nonce(), reason=reason
        )
        return self._sealed(veto, self._keys[-1:])

    def _mixed(self, mine: Order, others: Order) -> Envelope:
        """One officer signed this, the other something else."""
        signed = self._sealed(mine, self._keys[:1])
        other = self._sealed(others, self._keys[1:2])
        return replace(signed, signatures=(*signed.signatures, *other.signatures))

    def _twice(self, order: Order) -> Envelope:
        return cosign(self._sealed(order, self._keys[:1]), self._keys[0])

    def _resume(self, digests: tuple[bytes, ...]) -> Resume:
        return Resume(
            authority=self.authority, lifts=digests, nonce=self._nonce(), reason="drill over"
        )

    def cap(self, scope: Scope, cap_tflop: int) -> Envelope:
        """A newer policy with this budget of a scope."""
        kept = [budget for budget in self.policy.budgets if budget.scope != scope]
        return self._newer(budgets=(*kept, Budget(scope=scope, cap_tflop=cap_tflop)))

    def phase(self, scope: Scope, phase: Phase, from_unix_ms: int) -> Envelope:
        """A newer policy with this rule in the place of all others of a scope."""
        kept = [rule for rule in self.policy.phases if rule.scope != scope]
        rule = PhaseRule(scope=scope, phase=phase, from_unix_ms=from_unix_ms)
        return self._newer(phases=(*kept, rule))

    def _newer(self, **changes: object) -> Envelope:
        version = self.policy.version + 1
        self.policy = replace(self.policy, version=version, **changes)  # type: ignore[arg-type]
        return self.sign(self.policy)

    def reconciliation(self, batch_number: int) -> Envelope:
        """A quorum lets a governor go on that was rolled back."""
        return self.sign(
            Reconciliation(
                authority=self.authority,
                batch_number=batch_number,
                nonce=self._nonce(),
                reason="restored from a backup",
            )
        )


def _ed25519(secret: bytes) -> SigningKey:
    return SigningKey(
        ed25519.Ed25519PrivateKey.from_private_bytes(secret).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
