"""A TPM that quotes, out of two keys in memory: for what no real TPM would sign, too.

`tests/integration/test_tpm_quote.py` holds the real thing against the same verifier, and
`tests/data/tpm_quote.json` is what one said.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from flopgate_proto.keys import SigningKey
from flopgate_proto.tpm_quote import TpmQuote, quote_nonce

OWN: Final = 0x0004_0072
"""TPMA_OBJECT: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, sign."""
RESTRICTED: Final = 0x0001_0000
SHA256: Final = b"\x00\x0b"
QUOTE: Final = b"\x80\x18"
CERTIFY: Final = b"\x80\x17"
PCR_DIGEST: Final = bytes([0x5C] * 32)


def sized(data: bytes) -> bytes:
    """TCG's TPM2B."""
    return len(data).to_bytes(2, "big") + data


def public(spki: bytes, attributes: int) -> bytes:
    """TPMT_PUBLIC of a P-256 key."""
    x, y = spki[-64:-32], spki[-32:]
    scheme = bytes.fromhex("0010 0018 000b 0003 0010")
    return (
        b"\x00\x23"
        + SHA256
        + attributes.to_bytes(4, "big")
        + b"\0\0"
        + scheme
        + sized(x)
        + sized(y)
    )


@dataclass(kw_only=True)
class QuotingTpm:
    """Every part of what it says can be set to something else."""

    host: SigningKey
    attestation: SigningKey = field(default_factory=lambda: SigningKey.from_scalar(0xA77))
    host_attributes: int = OWN
    attestation_attributes: int = OWN | RESTRICTED
    magic: bytes = b"\xffTCG"
    quote_kind: bytes = QUOTE
    selection: bytes = bytes.fromhex("00000001 000b 03 ff0000")
    pcr_digest: bytes = PCR_DIGEST
    certified: bytes | None = None
    trailing: bytes = b""

    def quote(self, enrolment_digest: bytes) -> TpmQuote:
        """Of this host key, for one enrolment."""
        nonce = quote_nonce(enrolment_digest)
        host_public = public(self.host.spki, self.host_attributes)
        name = self.certified or SHA256 + hashlib.sha256(host_public).digest()
        quote = self._attest(self.quote_kind, nonce, self.selection + sized(self.pcr_digest))
        certification = self._attest(CERTIFY, nonce, sized(name) + sized(name))
        return TpmQuote(
            attestation_public=public(self.attestation.spki, self.attestation_attributes),
            host_public=host_public,
            quote=quote,
            quote_signature=self.attestation.sign(quote),
            certification=certification,
            certification_signature=self.attestation.sign(certification),
        )

    def _attest(self, kind: bytes, nonce: bytes, attested: bytes) -> bytes:
        clock = (86_400_000).to_bytes(8, "big") + (7).to_bytes(4, "big") + (1).to_bytes(4, "big")
        firmware = (0xFEDC_BA98_7654_3210).to_bytes(8, "big")
        head = self.magic + kind + sized(SHA256 + bytes(32)) + sized(nonce)
        return head + clock + b"\x01" + firmware + attested + self.trailing
