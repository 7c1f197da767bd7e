"""Trust of one authority: which keys may sign which order. All of it, without I/O.

Rules, after TUF (theupdateframework.io, spec 1.0 sections 5.3 and 6.1):

* The first root is accepted by its digest alone, which the join token or the operator names; it
  must also carry its own threshold of its ``root`` role.
* A later root has a higher version and carries the ``root`` thresholds of the old and of itself.
* An order names the authority's id, the digest of its first root: what the same officers sign for
  another authority, of the same name too, is not an order of this one.
* An order holds when the threshold of its role signed it; one key counts once, and so does one
  officer: keys of one name are one officer's.
* A role that the root does not name can sign nothing.
* A revoked key counts for nothing but a veto, under any root: a quorum that could silence an
  officer could loosen before he can object. Only a root that leaves it out, and waits, takes that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from flopgate_proto.codec.orders import decode_order
from flopgate_proto.codec.payload_types import PayloadType
from flopgate_proto.envelope import Envelope, Verified, verify
from flopgate_proto.errors import ForgedError, HistoryError, MisdirectedError, UnknownVersionError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.values.orders import Order, TrustRoot

ROLE_OF: Final[Mapping[str, str]] = {
    PayloadType.TRUST_ROOT: "root",
    PayloadType.DELEGATION: "delegate",
    PayloadType.POLICY: "policy",
    PayloadType.PAUSE: "pause",
    PayloadType.RESUME: "resume",
    PayloadType.RECONCILIATION: "reconcile",
    PayloadType.CLUSTER_RULING: "policy",
    PayloadType.VETO: "veto",
    PayloadType.CONFIRMATION: "confirm",
    PayloadType.REVOCATION: "revoke",
    PayloadType.ADOPTION: "adopt",
    PayloadType.CLOSURE: "close",
    PayloadType.RELIEF: "relieve",
    PayloadType.REGISTRATION: "policy",
    PayloadType.SEATS: "root",
    PayloadType.LICENSE_APPROVAL: "license",
}
"""Which role signs which payload type; anything else is no order."""

SINGLE_ROLES: Final = frozenset({"pause", "veto"})
"""Roles that one officer fills, unless a root says otherwise: to stop is cheap (law 6)."""

VETO: Final = ROLE_OF[PayloadType.VETO]


@dataclass(frozen=True, slots=True)
class VerifiedOrder:
    """An order that the threshold of its role signed.

    Attributes:
        order: what was ordered.
        digest: identity of the statement.
        signers: key ids that count.
        envelope: the bytes, to be kept and passed on as they are.
    """

    order: Order
    digest: bytes
    signers: frozenset[str]
    envelope: Envelope


@lru_cache(maxsize=256)
def _key(spki: bytes) -> VerifyingKey:
    """One root after the other names the same keys."""
    return VerifyingKey(spki)


class Trust:
    """One authority's root in force, and the keys of its roles. Immutable."""

    __slots__ = ("_keys", "_officers", "_thresholds", "digest", "envelope", "revoked", "root")

    def __init__(
        self,
        root: TrustRoot,
        digest: bytes,
        envelope: Envelope,
        revoked: frozenset[str] = frozenset(),
    ) -> None:
        self.root = root
        self.digest = digest
        self.envelope = envelope
        self.revoked = revoked
        keys = [_key(key.spki) for key in root.keys]
        self._officers = {
            key.key_id: named.name for key, named in zip(keys, root.keys, strict=True)
        }
        self._thresholds = {role.name: role.threshold for role in root.roles}
        self._keys = {
            role.name: {
                keys[index].key_id: keys[index]
                for index in role.keys
                if role.name == VETO or keys[index].key_id not in revoked
            }
            for role in root.roles
        }

    @property
    def authority(self) -> str:
        """Name of the authority."""
        return self.root.authority

    @property
    def authority_id(self) -> bytes:
        """Digest of its first root."""
        return self.root.authority_id or self.digest

    @classmethod
    def pinned(cls, envelope: Envelope, digest: bytes) -> Trust:
        """The first root, by the digest that a token or configuration names.

        Raises:
            MisdirectedError: another root than the pinned one, or not an authority's first.
            ForgedError: it lacks its own threshold.
        """
        if envelope.digest != digest:
            raise MisdirectedError(
                f"trust root {envelope.digest.hex()[:16]} where {digest.hex()[:16]} is pinned",
                code="trust-root.pin",
                remedy="Ask the oversight body which root is right before you go on.",
            )
        return cls._first(envelope)

    @classmethod
    def stored(cls, envelope: Envelope) -> Trust:
        """A first root that was accepted before and comes from our own durable store."""
        return cls._first(envelope)

    @classmethod
    def _first(cls, envelope: Envelope) -> Trust:
        trust = cls._self_signed(envelope)
        if trust.root.authority_id:
            # It claims an id that is not its own digest: so could a root of anybody's.
            raise MisdirectedError(
                "a later trust root stands where an authority's first one belongs",
                code="trust-root.first",
                remedy="Take the first one: its digest is the id that every later one names.",
            )
        return trust

    @classmethod
    def _self_signed(cls, envelope: Envelope, revoked: frozenset[str] = frozenset()) -> Trust:
        root = decode_order(PayloadType.TRUST_ROOT, envelope.payload)
        if not isinstance(root, TrustRoot) or envelope.payload_type != PayloadType.TRUST_ROOT:
            raise UnknownVersionError("not a trust root", code="trust-root.type")
        trust = cls(root, envelope.digest, envelope, revoked)
        trust.verify(envelope)
        return trust

    def verify(self, envelope: Envelope) -> VerifiedOrder:
        """Check an order against the keys and threshold of its role.

        Raises:
            UnknownVersionError: no order has this payload type.
            ForgedError: the role's threshold did not sign.
            MisdirectedError: signed for another authority.
        """
        role = ROLE_OF.get(envelope.payload_type)
        if role is None:
            raise UnknownVersionError(
                f"no order has the payload type {envelope.payload_type!r}",
                code="order.type.unknown",
            )
        if role not in self._keys:
            raise ForgedError(f"the trust root names no role {role!r}", code="order.role")
        verified = self._signed(envelope, role)
        officers = self.officers(verified.signers)
        if len(officers) < self._thresholds[role]:
            raise ForgedError(
                f"{len(verified.signers)} keys of {len(officers)} officers, "
                f"{self._thresholds[role]} officers must sign",
                code="order.officers",
                remedy="Sign with the keys of other officers.",
            )
        order = decode_order(envelope.payload_type, verified.payload)
        if order.authority != self.authority:
            raise MisdirectedError(
                f"order of {order.authority!r} where {self.authority!r} was expected",
                code="order.authority",
            )
        self.check_whose(order, verified.digest)
        return VerifiedOrder(order, verified.digest, verified.signers, envelope)

    def check_whose(self, order: Order, digest: bytes) -> None:
        """Whether an order, of this digest, is of this authority and not of another of its name.

        Raises:
            MisdirectedError: it is not.
        """
        found = order.authority_id
        if isinstance(order, TrustRoot) and not found:
            found = digest
        if found != self.authority_id:
            raise MisdirectedError(
                f"order of the authority {order.authority!r} of id {found.hex()[:16]}, this one "
                f"has the id {self.authority_id.hex()[:16]}",
                code="order.other-authority",
                remedy="Officers sign one for this authority; `flopgate-governor order trust` "
                "shows its id.",
            )

    def _signed(self, envelope: Envelope, role: str) -> Verified:
        """What the holders of a role signed."""
        return verify(envelope, envelope.payload_type, self._keys[role], self._thresholds[role])

    def officers(self, signers: Iterable[str]) -> frozenset[str]:
        """Names of the officers whose keys these are, by key id."""
        return frozenset(self._officers[key] for key in signers if key in self._officers)

    def fills(self, role: str, signers: frozenset[str]) -> bool:
        """Whether enough of these signers hold a role to meet its threshold."""
        holders = self.officers(self._keys.get(role, {}).keys() & signers)
        return role in self._thresholds and len(holders) >= self._thresholds[role]

    def needed(self, role: str) -> int:
        """Officers that a role takes; 0 for one that can sign nothing."""
        return self._thresholds.get(role, 0)

    def without(self, key_id: str) -> Trust:
        """The same root once a key is revoked.

        Raises:
            HistoryError: too few would be left to sign the next root.
        """
        trust = type(self)(self.root, self.digest, self.envelope, self.revoked | {key_id})
        root = ROLE_OF[PayloadType.TRUST_ROOT]
        if not trust.fills(root, frozenset(self._keys.get(root, {})) - {key_id}):
            raise HistoryError(
                f"without key {key_id[:16]} nobody could sign another trust root",
                code="revocation.root",
                remedy="Sign a trust root with other officers first.",
            )
        return trust

    def successor(self, envelope: Envelope) -> Trust:
        """The next root: higher version, signed by the thresholds of old and new.

        Raises:
            HistoryError: its version is not higher.
            ForgedError: a threshold is missing.
            MisdirectedError: it is of another authority, or a first root.
        """
        self.verify(envelope)
        new = self._self_signed(envelope, self.revoked)
        if new.root.version <= self.root.version:
            raise HistoryError(
                f"trust root version {new.root.version}, {self.root.version} is in force",
                code="trust-root.version",
            )
        return new
