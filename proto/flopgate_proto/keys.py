"""Public and private keys: ECDSA P-256 with SHA-256 by default, Ed25519 accepted.

A key is named by the SHA-256 of its DER SubjectPublicKeyInfo. P-256 signatures are DER-encoded
and deterministic (RFC 6979), so that vectors and simulations repeat bit for bit.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from flopgate_proto.errors import ConfigError, ForgedError, MalformedError
from flopgate_proto.limits import SPKI_BYTES_MAX

_VERIFY_P256: Final = ec.ECDSA(hashes.SHA256())
_SIGN_P256: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

_FIELD: Final = 2**255 - 19
_EIGHTH_Y: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y: Final = frozenset({0, 1, _FIELD - 1, _EIGHTH_Y, _FIELD - _EIGHTH_Y})
"""Of the eight points whose order divides the cofactor of edwards25519 (RFC 8032 section 5.1)."""


@lru_cache(maxsize=1024)
def key_digest(spki: bytes) -> bytes:
    """SHA-256 of a DER SubjectPublicKeyInfo: identity of a host or key, 32 bytes."""
    return hashlib.sha256(spki).digest()


class VerifyingKey:
    """A public key that checks signatures.

    Raises:
        MalformedError: the bytes are no P-256 or Ed25519 SubjectPublicKeyInfo, or not in its
            one encoding: uncompressed point, named curve; or anybody can sign under the key.
    """

    __slots__ = ("_key", "key_id", "spki")

    def __init__(self, spki: bytes) -> None:
        if not 0 < len(spki) <= SPKI_BYTES_MAX:
            raise MalformedError(f"public key of {len(spki)} bytes", code="key.size")
        try:
            key = serialization.load_der_public_key(spki)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise MalformedError("not a DER public key", code="key.malformed") from error
        if not isinstance(key, ed25519.Ed25519PublicKey) and not (
            isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        ):
            raise MalformedError(
                "neither a P-256 nor an Ed25519 key",
                code="key.algorithm",
                remedy="Make a P-256 key.",
            )
        canonical = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        # Otherwise one key had several ids: two votes of a quorum, two identities of a host.
        if canonical != spki:
            raise MalformedError(
                "public key in an unusual encoding",
                code="key.encoding",
                remedy="Encode the SubjectPublicKeyInfo with an uncompressed point.",
            )
        if isinstance(key, ed25519.Ed25519PublicKey) and _small_order(key.public_bytes_raw()):
            raise MalformedError(
                "an Ed25519 key of small order: signatures of nobody hold under it",
                code="key.small-order",
                remedy="Make a P-256 key.",
            )
        self._key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey = key
        self.spki = spki
        self.key_id = key_digest(spki).hex()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyingKey) and other.spki == self.spki

    def __hash__(self) -> int:
        return hash(self.spki)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if the signature holds.

        Raises:
            ForgedError: it does not.
        """
        try:
            if isinstance(self._key, ec.EllipticCurvePublicKey):
                self._key.verify(signature, message, _VERIFY_P256)
            else:
                self._key.verify(signature, message)
        except InvalidSignature as error:
            raise ForgedError(
                f"signature of key {self.key_id[:12]} does not hold", code="signature.invalid"
            ) from error


def _small_order(point: bytes) -> bool:
    """Whether a point has small order, in whatever encoding: the last bit is the sign of x."""
    return int.from_bytes(point, "little") % 2**255 % _FIELD in _SMALL_ORDER_Y


class Signer(Protocol):
    """Whatever signs: a key in memory, later one in a TPM or PKCS#11 token."""

    @property
    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo of the public half."""

    def sign(self, message: bytes) -> bytes:
        """Signature over ``message``."""


class SigningKey:
    """A private key in memory.

    Raises:
        ConfigError: the PEM holds no unencrypted P-256 or Ed25519 private key.
    """

    __slots__ = ("_key", "spki")

    def __init__(self, pem: bytes) -> None:
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(
                "not an unencrypted PEM private key",
                code="key.private.malformed",
                remedy="Name a PKCS#8 PEM file with a P-256 key.",
            ) from error
        if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
            raise ConfigError("neither a P-256 nor an Ed25519 key", code="key.algorithm")
        self._key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey = key
        self.spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        VerifyingKey(self.spki)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new P-256 key from the operating system's entropy."""
        return cls(_pem(ec.generate_private_key(ec.SECP256R1())))

    @classmethod
    def from_scalar(cls, scalar: int) -> SigningKey:
        """The P-256 key with this private scalar: for vectors and seeded simulations only."""
        return cls(_pem(ec.derive_private_key(scalar, ec.SECP256R1())))

    @property
    def key_id(self) -> str:
        """Lower-case hexadecimal SHA-256 of the SPKI."""
        return key_digest(self.spki).hex()

    @property
    def verifying_key(self) -> VerifyingKey:
        """The public half."""
        return VerifyingKey(self.spki)

    def pem(self) -> bytes:
        """PKCS#8 PEM, unencrypted."""
        return _pem(self._key)

    def sign(self, message: bytes) -> bytes:
        """Signature over ``message``."""
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(message, _SIGN_P256)
        return self._key.sign(message)


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
