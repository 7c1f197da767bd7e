"""Join tokens and the proof that a token makes (DESIGN section 4).

The token's secret never travels: the gate proves that it holds it by an HMAC over the host key and
the chips. Whoever carries the enrolment can neither swap the key nor the chips.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import DIGEST_BYTES, NONCE_BYTES
from flopgate_proto.values.reports import ChipIdentity

PREFIX: Final = "flopgate-join-v1."
_DOMAIN: Final = b"flopgate.join.v1\x00"
_BINARY: Final = frozenset({"trust_root_digest", "later_trust_roots", "token_id", "secret"})
TOKEN_CHARS_MAX: Final = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """What the oversight body hands to an operator, once, for one or N hosts.

    Attributes:
        authority: name of the authority.
        trust_root_digest: pins the authority's first trust root.
        later_trust_roots: digests, 32 bytes each, of those that came into force after it, in their
            order, up to the one in force when the token was made.
        enroll_address: ``host:port`` of first contact (server-authenticated TLS).
        link_address: ``host:port`` of daily life (mutual TLS).
        tls_ca_pem: certificate authority of both addresses.
        cluster, custodian, site, jurisdiction: what hosts with this token belong to.
        token_id: 16 bytes, public.
        secret: 32 bytes, never sent.
    """

    authority: str
    trust_root_digest: bytes
    enroll_address: str
    link_address: str
    tls_ca_pem: str
    cluster: str
    custodian: str
    site: str
    jurisdiction: str
    token_id: bytes
    secret: bytes
    later_trust_roots: bytes = b""

    @property
    def later_roots(self) -> tuple[bytes, ...]:
        """`later_trust_roots`, one by one."""
        roots = self.later_trust_roots
        return tuple(roots[at : at + DIGEST_BYTES] for at in range(0, len(roots), DIGEST_BYTES))

    def text(self) -> str:
        """One printable line."""
        fields = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in asdict(self).items()
            if value or name != "later_trust_roots"
        }
        return PREFIX + base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Token from its printable line.

        Raises:
            ConfigError: not a whole token.
        """
        token = cls._decoded(text.strip())
        if token is None:
            raise ConfigError(
                "not a flopgate join token",
                code="join-token.malformed",
                remedy="Copy the whole line that `flopgate-governor token create` printed.",
            )
        return token

    @classmethod
    def _decoded(cls, text: str) -> JoinToken | None:
        if not text.startswith(PREFIX) or len(text) > TOKEN_CHARS_MAX:
            return None
        try:
            fields = json.loads(base64.urlsafe_b64decode(text.removeprefix(PREFIX)))
            values: dict[str, Any] = {
                name: bytes.fromhex(value) if name in _BINARY else _text(value)
                for name, value in fields.items()
            }
            token = cls(**values)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
        sizes = (len(token.trust_root_digest), len(token.token_id), len(token.secret))
        whole = len(token.later_trust_roots) % DIGEST_BYTES == 0
        return token if whole and sizes == (DIGEST_BYTES, NONCE_BYTES, DIGEST_BYTES) else None


def _text(value: object) -> str:
    """A JSON string that UTF-8 can carry: JSON also has lone surrogates.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError
    return value.encode().decode()


def token_proof(secret: bytes, host_spki: bytes, chips: Sequence[ChipIdentity]) -> bytes:
    """HMAC-SHA256 of the secret over host key and chips, 32 bytes.

    The message is the domain ``flopgate.join.v1`` and a zero byte, then SHA-256 of the host key,
    then for each chip its UUID and serial, each as a 4-byte big-endian length and UTF-8 bytes.
    """
    message = bytearray(_DOMAIN + hashlib.sha256(host_spki).digest())
    for chip in chips:
        for text in (chip.uuid, chip.serial):
            data = text.encode()
            message += len(data).to_bytes(4, "big") + data
    return hmac.digest(secret, message, "sha256")


def proof_holds(expected: bytes, given: bytes) -> bool:
    """Compare two proofs in constant time."""
    return hmac.compare_digest(expected, given)
