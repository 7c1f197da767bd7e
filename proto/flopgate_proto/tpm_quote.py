"""What a TPM 2.0 says of a host key and of a boot: SPEC "TPM quote" has what it proves.

Two structures that a restricted key of the TPM signed (TPM 2.0 Library, part 2: TPMS_ATTEST): a
quote of PCRs, and a certification that the host key lies in the same TPM. Parsing is total: any
bytes give a value or one of our errors.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from flopgate_proto.errors import ForgedError, MalformedError, MisdirectedError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.limits import DIGEST_BYTES

_DOMAIN: Final = b"flopgate.tpm-quote.v1\x00"

# TCG's constants, part 2 of the library.
_GENERATED: Final = 0xFF544347
_ATTEST_CERTIFY: Final = 0x8017
_ATTEST_QUOTE: Final = 0x8018
_ALG_SHA256: Final = 0x000B
_ALG_NULL: Final = 0x0010
_ALG_ECDSA: Final = 0x0018
_ALG_ECC: Final = 0x0023
_NIST_P256: Final = 0x0003
_FIXED_TPM, _FIXED_PARENT, _ORIGIN = 1 << 1, 1 << 4, 1 << 5
_RESTRICTED, _DECRYPT, _SIGN = 1 << 16, 1 << 17, 1 << 18
_OWN: Final = _FIXED_TPM | _FIXED_PARENT | _ORIGIN | _SIGN
_COORDINATE_BYTES: Final = 32
_SELECT_BYTES_MAX: Final = 4
_SPKI_P256: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmQuote:
    """As it comes from a TPM. Signatures are DER; publics are TPMT_PUBLIC, the rest TPMS_ATTEST."""

    attestation_public: bytes
    host_public: bytes
    quote: bytes
    quote_signature: bytes
    certification: bytes
    certification_signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedQuote:
    """What a quote that holds says.

    Attributes:
        attestation_spki: of the key that signed it; which TPM has it nothing here proves.
        pcrs: of the SHA-256 bank, ascending.
        pcr_digest: SHA-256 over their values.
        clock_ms: time during which the TPM was ever powered, as it counts it.
        safe: no greater value of it was ever told.
    """

    attestation_spki: bytes
    pcrs: tuple[int, ...]
    pcr_digest: bytes
    clock_ms: int
    safe: bool


def quote_nonce(enrolment_digest: bytes) -> bytes:
    """What both structures have to carry, 32 bytes.

    The enrolment holds the token's id, which the authority drew: nobody can have quoted before.
    """
    return hashlib.sha256(_DOMAIN + enrolment_digest).digest()


def check_quote(quote: TpmQuote, host_spki: bytes, enrolment_digest: bytes) -> CheckedQuote:
    """Verify that one TPM holds both keys, and quoted for this enrolment.

    Raises:
        MalformedError: what it holds is no such structure.
        ForgedError: a signature does not hold, or a key is not what it has to be.
        MisdirectedError: made for another enrolment, or for another host key.
    """
    attestation = _key_of(quote.attestation_public, _OWN | _RESTRICTED, _DECRYPT, "attestation key")
    host = _key_of(quote.host_public, _OWN, _DECRYPT | _RESTRICTED, "host key")
    if host != host_spki:
        raise MisdirectedError("the TPM speaks of another host key", code="quote.host-key")
    key = VerifyingKey(attestation)
    key.verify(quote.quote_signature, quote.quote)
    key.verify(quote.certification_signature, quote.certification)
    nonce = quote_nonce(enrolment_digest)
    certified = _attested(quote.certification, _ATTEST_CERTIFY, nonce)
    name = certified.reader.sized()
    certified.reader.sized()
    certified.reader.end()
    if name != _name_of(quote.host_public):
        raise MisdirectedError("the TPM certified another key", code="quote.host-key")
    quoted = _attested(quote.quote, _ATTEST_QUOTE, nonce)
    pcrs = _selection(quoted.reader)
    pcr_digest = quoted.reader.sized()
    quoted.reader.end()
    if len(pcr_digest) != DIGEST_BYTES or not pcrs:
        raise _malformed("PCR digest")
    return CheckedQuote(
        attestation_spki=attestation,
        pcrs=pcrs,
        pcr_digest=pcr_digest,
        clock_ms=quoted.clock_ms,
        safe=quoted.safe,
    )


def _malformed(what: str) -> MalformedError:
    return MalformedError(f"the {what} of the TPM is not as TCG has it", code="quote.malformed")


class _Reader:
    """TCG's encoding: big-endian numbers, and bytes with their size in 2 bytes before them."""

    __slots__ = ("_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what

    def take(self, size: int) -> bytes:
        if len(self._data) < size:
            raise _malformed(self._what)
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def sized(self) -> bytes:
        return self.take(self.number(2))

    def expect(self, size: int, *values: int) -> None:
        for value in values:
            if self.number(size) != value:
                raise _malformed(self._what)

    def end(self) -> None:
        if self._data:
            raise _malformed(self._what)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attested:
    """Head of a TPMS_ATTEST; ``reader`` stands at what was attested."""

    clock_ms: int
    safe: bool
    reader: _Reader


def _attested(data: bytes, kind: int, nonce: bytes) -> _Attested:
    reader = _Reader(data, "attestation")
    reader.expect(4, _GENERATED)
    reader.expect(2, kind)
    reader.sized()  # qualified name of the signer: its ancestors are the TPM's own matter
    if reader.sized() != nonce:
        raise MisdirectedError("the TPM quoted for another enrolment", code="quote.nonce")
    clock_ms = reader.number(8)
    # Resets, restarts and, further on, the firmware's version: a TPM blinds them for such a key.
    reader.take(8)
    safe = reader.number(1) == 1
    reader.take(8)
    return _Attested(clock_ms=clock_ms, safe=safe, reader=reader)


def _selection(reader: _Reader) -> tuple[int, ...]:
    reader.expect(4, 1)
    reader.expect(2, _ALG_SHA256)
    size = reader.number(1)
    if size > _SELECT_BYTES_MAX:
        raise _malformed("PCR selection")
    bits = int.from_bytes(reader.take(size), "little")
    return tuple(pcr for pcr in range(8 * size) if bits >> pcr & 1)


def _key_of(public: bytes, has: int, lacks: int, what: str) -> bytes:
    """SubjectPublicKeyInfo of a P-256 key that signs by ECDSA with SHA-256 and stays in its TPM."""
    reader = _Reader(public, what)
    reader.expect(2, _ALG_ECC, _ALG_SHA256)
    attributes = reader.number(4)
    reader.sized()  # a policy for its use only makes it narrower
    reader.expect(2, _ALG_NULL, _ALG_ECDSA, _ALG_SHA256, _NIST_P256, _ALG_NULL)
    x, y = reader.sized(), reader.sized()
    reader.end()
    if max(len(x), len(y)) > _COORDINATE_BYTES:
        raise _malformed(what)
    if attributes & has != has or attributes & lacks:
        raise ForgedError(
            f"the {what} has attributes {attributes:#x}: it need not be the TPM's own",
            code="quote.key",
        )
    return _SPKI_P256 + x.rjust(_COORDINATE_BYTES, b"\x00") + y.rjust(_COORDINATE_BYTES, b"\x00")


def _name_of(public: bytes) -> bytes:
    return _ALG_SHA256.to_bytes(2, "big") + hashlib.sha256(public).digest()
