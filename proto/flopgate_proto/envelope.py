"""DSSE envelopes (github.com/secure-systems-lab/dsse, protocol version 1).

What is signed is PAE(payload type, payload). A statement is identified by the SHA-256 of its PAE,
never of the envelope: ECDSA signatures are malleable, the statement is not. Received bytes are
verified first, then those same bytes are parsed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flopgate_proto.errors import ForgedError, MalformedError, OversizedError, UnknownVersionError
from flopgate_proto.keys import Signer, VerifyingKey, key_digest
from flopgate_proto.limits import (
    NAME_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    SIGNATURE_BYTES_MAX,
    SIGNATURES_MAX,
)
from flopgate_proto.quick import maker, quick


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding of DSSE: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def statement_digest(payload_type: str, payload: bytes) -> bytes:
    """Identity of a statement: SHA-256 of its PAE, 32 bytes."""
    return hashlib.sha256(pae(payload_type, payload)).digest()


@quick
@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; ``key_id`` is a hint by which the verifier finds its own key."""

    key_id: str
    sig: bytes


make_signature = maker(Signature)


@quick
@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its signatures.

    Raises:
        MalformedError: no signatures, an empty payload type, or a type or key id beyond ASCII.
        OversizedError: payload, type or signatures above their limits.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def __post_init__(self) -> None:
        if len(self.payload) > PAYLOAD_BYTES_MAX:
            raise OversizedError(
                f"payload of {len(self.payload)} bytes, at most {PAYLOAD_BYTES_MAX} are taken",
                code="envelope.oversized",
            )
        if not 0 < len(self.payload_type) <= NAME_BYTES_MAX or not self.payload_type.isascii():
            raise MalformedError(
                "payload type is empty, too long or not ASCII", code="envelope.type"
            )
        if not 0 < len(self.signatures) <= SIGNATURES_MAX:
            raise MalformedError(
                f"{len(self.signatures)} signatures, 1 to {SIGNATURES_MAX} are taken",
                code="envelope.signatures",
            )
        for signature in self.signatures:
            if len(signature.sig) > SIGNATURE_BYTES_MAX or len(signature.key_id) > NAME_BYTES_MAX:
                raise OversizedError("signature or key id too long", code="envelope.oversized")
            # JSON can carry lone surrogates, which no wire form can.
            if not signature.key_id.isascii():
                raise MalformedError("key id is not ASCII", code="envelope.key-id")

    @property
    def digest(self) -> bytes:
        """SHA-256 of the PAE."""
        return statement_digest(self.payload_type, self.payload)


make_envelope = maker(Envelope)


@quick
@dataclass(frozen=True, slots=True)
class Verified:
    """A payload that at least the asked-for number of known keys signed."""

    payload_type: str
    payload: bytes
    digest: bytes
    signers: frozenset[str]


make_verified = maker(Verified)


def seal(payload_type: str, payload: bytes, signers: Sequence[Signer]) -> Envelope:
    """Sign a payload with every signer."""
    message = pae(payload_type, payload)
    return make_envelope(
        payload_type,
        payload,
        tuple([make_signature(key_digest(s.spki).hex(), s.sign(message)) for s in signers]),
    )


def cosign(envelope: Envelope, signer: Signer) -> Envelope:
    """The same statement with one more signature."""
    signature = make_signature(
        key_digest(signer.spki).hex(), signer.sign(pae(envelope.payload_type, envelope.payload))
    )
    return make_envelope(envelope.payload_type, envelope.payload, (*envelope.signatures, signature))


def verify(
    envelope: Envelope,
    payload_type: str,
    keys: Mapping[str, VerifyingKey],
    threshold: int = 1,
) -> Verified:
    """Check that ``threshold`` different keys of ``keys`` signed this payload as this type.

    Signatures of unknown keys are passed over; one key counts once however often it signed.

    Raises:
        UnknownVersionError: another payload type than asked for.
        ForgedError: fewer than ``threshold`` signatures hold.
    """
    if envelope.payload_type != payload_type:
        raise UnknownVersionError(
            f"payload type {envelope.payload_type!r} where {payload_type!r} was expected",
            code="envelope.type.unexpected",
            remedy="Check that both sides speak the same version.",
        )
    message = pae(payload_type, envelope.payload)
    signers: set[str] = set()
    for signature in envelope.signatures:
        key = keys.get(signature.key_id)
        if key is None or signature.key_id in signers:
            continue
        try:
            key.verify(signature.sig, message)
        except ForgedError:
            continue
        signers.add(signature.key_id)
    if len(signers) < max(1, threshold):
        raise ForgedError(
            f"{len(signers)} of the {max(1, threshold)} needed signatures hold",
            code="envelope.quorum",
            remedy="Sign with the keys of enough officers who hold the role for it.",
        )
    digest = hashlib.sha256(message).digest()
    return make_verified(payload_type, envelope.payload, digest, frozenset(signers))
