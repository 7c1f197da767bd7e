"""Envelopes and keys: what is refused before and while a signature is checked."""

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from itertools import product

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from flopgate_proto.codec import (
    PayloadType,
    envelope_from_json,
    envelope_from_wire,
    envelope_to_json,
    envelope_to_wire,
)
from flopgate_proto.envelope import Envelope, Signature, cosign, pae, seal, statement_digest, verify
from flopgate_proto.errors import (
    ConfigError,
    ForgedError,
    MalformedError,
    OversizedError,
    UnknownVersionError,
)
from flopgate_proto.keys import SigningKey, VerifyingKey
from flopgate_proto.limits import (
    MESSAGE_BYTES_MAX,
    NAME_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    SIGNATURE_BYTES_MAX,
    SIGNATURES_MAX,
    SPKI_BYTES_MAX,
)
from tests.support.fixed import HOST_KEY, STRANGER_KEY

SIGNED = seal("type", b"payload", [HOST_KEY])
KEYS = {HOST_KEY.key_id: HOST_KEY.verifying_key}
SIGNATURE = Signature("id", b"sig")


def test_pae_is_that_of_the_dsse_specification() -> None:
    """The example of the DSSE project's protocol.md."""
    expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("http://example.com/HelloWorld", b"hello world") == expected


def test_digest_is_the_sha_256_of_the_pae() -> None:
    expected = hashlib.sha256(b"DSSEv1 4 type 7 payload").digest()
    assert SIGNED.digest == statement_digest("type", b"payload") == expected


@pytest.mark.parametrize(
    ("payload_type", "payload", "signatures", "error", "code"),
    [
        ("type", b"", (), MalformedError, "envelope.signatures"),
        ("type", b"", (SIGNATURE,) * (SIGNATURES_MAX + 1), MalformedError, "envelope.signatures"),
        ("", b"", (SIGNATURE,), MalformedError, "envelope.type"),
        ("t" * (NAME_BYTES_MAX + 1), b"", (SIGNATURE,), MalformedError, "envelope.type"),
        ("typé", b"", (SIGNATURE,), MalformedError, "envelope.type"),
        ("type", b"", (Signature("\ud800", b""),), MalformedError, "envelope.key-id"),
        (
            "type",
            bytes(PAYLOAD_BYTES_MAX + 1),
            (SIGNATURE,),
            OversizedError,
            "envelope.oversized",
        ),
        (
            "type",
            b"",
            (Signature("id", bytes(SIGNATURE_BYTES_MAX + 1)),),
            OversizedError,
            "envelope.oversized",
        ),
        (
            "type",
            b"",
            (Signature("i" * (NAME_BYTES_MAX + 1), b""),),
            OversizedError,
            "envelope.oversized",
        ),
    ],
)
def test_envelope_out_of_bounds(
    payload_type: str,
    payload: bytes,
    signatures: tuple[Signature, ...],
    error: type[MalformedError],
    code: str,
) -> None:
    with pytest.raises(error) as caught:
        Envelope(payload_type, payload, signatures)
    assert caught.value.code == code


def test_envelope_at_its_bounds_is_taken() -> None:
    largest = Signature("i" * NAME_BYTES_MAX, bytes(SIGNATURE_BYTES_MAX))
    envelope = Envelope("t" * NAME_BYTES_MAX, bytes(PAYLOAD_BYTES_MAX), (largest,) * SIGNATURES_MAX)
    assert envelope_from_wire(envelope_to_wire(envelope)) == envelope


def test_another_type_than_asked_for_is_refused() -> None:
    with pytest.raises(UnknownVersionError, match=r"envelope\.type\.unexpected"):
        verify(SIGNED, "other", KEYS)


def test_unknown_payload_version_is_refused() -> None:
    """A type of version 2 is another type, whatever its bytes."""
    newer = seal(PayloadType.REPORT.replace(".v1+", ".v2+"), b"", [HOST_KEY])
    with pytest.raises(UnknownVersionError):
        verify(newer, PayloadType.REPORT, KEYS)


def test_type_swapped_under_a_signature_is_refused() -> None:
    with pytest.raises(ForgedError, match=r"envelope\.quorum"):
        verify(replace(SIGNED, payload_type="other"), "other", KEYS)


def test_signature_of_another_key_under_a_known_key_id_is_refused() -> None:
    forged = seal("type", b"payload", [STRANGER_KEY]).signatures[0].sig
    with pytest.raises(ForgedError):
        verify(replace(SIGNED, signatures=(Signature(HOST_KEY.key_id, forged),)), "type", KEYS)


def test_threshold_below_one_still_needs_a_signature() -> None:
    unknown = seal("type", b"payload", [STRANGER_KEY])
    for threshold in (0, -1):
        with pytest.raises(ForgedError):
            verify(unknown, "type", KEYS, threshold)


def test_a_forged_signature_before_the_genuine_one_does_no_harm() -> None:
    both = (Signature(HOST_KEY.key_id, b"junk"), *SIGNED.signatures)
    verified = verify(replace(SIGNED, signatures=both), "type", KEYS)
    assert verified.signers == {HOST_KEY.key_id}


def test_cosigning_adds_a_signature_that_counts() -> None:
    keys = KEYS | {STRANGER_KEY.key_id: STRANGER_KEY.verifying_key}
    both = cosign(SIGNED, STRANGER_KEY)
    assert verify(both, "type", keys, 2).signers == set(keys)


def test_signatures_repeat_bit_for_bit() -> None:
    assert seal("type", b"payload", [HOST_KEY]) == SIGNED


DOCUMENT = json.loads(envelope_to_json(SIGNED))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '"text"',
        "[" * 100_000,
        json.dumps(DOCUMENT | {"payload": 1}),
        json.dumps(DOCUMENT | {"payload": "a"}),
        json.dumps(DOCUMENT | {"payload": "!!!!"}),
        json.dumps(DOCUMENT | {"payloadType": None}),
        json.dumps(DOCUMENT | {"signatures": {"keyid": "a"}}),
        json.dumps(DOCUMENT | {"signatures": [{"sig": ""}]}),
    ],
)
def test_json_that_is_no_envelope_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError) as caught:
        envelope_from_json(text)
    assert caught.value.code == "envelope.malformed"


def test_json_longer_than_a_message_is_refused_unread() -> None:
    with pytest.raises(OversizedError, match=r"envelope\.oversized"):
        envelope_from_json(" " * (MESSAGE_BYTES_MAX + 1))


def _spki(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


RSA_KEY = rsa.RSAPublicNumbers(65537, 2**2047 + 1).public_key()
P384_KEY = ec.derive_private_key(7, ec.SECP384R1()).public_key()


@pytest.mark.parametrize(
    ("spki", "code"),
    [
        (b"", "key.size"),
        (bytes(SPKI_BYTES_MAX + 1), "key.size"),
        (b"junk", "key.malformed"),
        (HOST_KEY.spki + b"\x00", "key.malformed"),
        (HOST_KEY.spki[:-1], "key.malformed"),
        (_spki(RSA_KEY), "key.algorithm"),
        (_spki(P384_KEY), "key.algorithm"),
    ],
)
def test_key_that_is_none_of_ours(spki: bytes, code: str) -> None:
    with pytest.raises(MalformedError) as caught:
        VerifyingKey(spki)
    assert caught.value.code == code


_FIELD = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _FIELD) % _FIELD


def _added(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """Sum of two points of edwards25519 (RFC 8032 section 5.1.4), in plain coordinates."""
    (x1, y1), (x2, y2) = one, other
    k = _D * x1 * x2 * y1 * y2 % _FIELD
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, _FIELD) % _FIELD
    return x, (y1 * y2 + x1 * x2) * pow(1 - k, -1, _FIELD) % _FIELD


def _small_order_points() -> list[tuple[int, int]]:
    """The eight: multiples of a point of which the large prime factor was taken off."""
    for y in range(2, 99):
        square = (y * y - 1) * pow(_D * y * y + 1, -1, _FIELD) % _FIELD
        x = pow(square, (_FIELD + 3) // 8, _FIELD)
        if x * x % _FIELD != square:
            x = x * pow(2, (_FIELD - 1) // 4, _FIELD) % _FIELD
        if x * x % _FIELD != square:
            continue
        left, point = (0, 1), (x, y)
        for bit in range(_ORDER.bit_length()):
            left = _added(left, point) if _ORDER >> bit & 1 else left
            point = _added(point, point)
        found = [left]
        while found[-1] != (0, 1):
            found.append(_added(found[-1], left))
        if len(found) == 8:
            return found
    raise LookupError("no point of order 8")


def test_law_6_a_key_under_which_anybody_signs_is_no_key() -> None:
    """Under these a signature that nobody made holds for a good part of all messages."""
    points = _small_order_points()
    header = bytes.fromhex("302a300506032b6570032100")
    ys = {y for _, y in points} | {y + _FIELD for _, y in points if y < 19}
    nobody = [(y | (x & 1) << 255).to_bytes(32, "little") + bytes(32) for x, y in points]
    for key in (y | sign << 255 for y in ys for sign in (0, 1)):
        spki = header + key.to_bytes(32, "little")
        public = ed25519.Ed25519PublicKey.from_public_bytes(spki[-32:])
        held = 0
        for message, signature in product((b"%d" % n for n in range(64)), nobody):
            with suppress(InvalidSignature):
                public.verify(signature, message)
                held += 1
        assert held > 0
        with pytest.raises(MalformedError, match=r"key\.small-order"):
            VerifyingKey(spki)


def test_compressed_point_would_be_a_second_name_for_one_key() -> None:
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), HOST_KEY.spki[-65:])
    compressed = point.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    header = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    with pytest.raises(MalformedError, match=r"key\.encoding"):
        VerifyingKey(header + compressed)


def _pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))


def test_ed25519_signs_and_verifies() -> None:
    key = SigningKey(_pem(ED25519, b""))
    signed = seal("type", b"payload", [key])
    assert verify(signed, "type", {key.key_id: key.verifying_key}).signers == {key.key_id}
    assert len(signed.signatures[0].sig) == 64


@pytest.mark.parametrize("pem", [b"", b"junk", _pem(ED25519, b"password"), HOST_KEY.spki])
def test_private_key_that_cannot_be_used(pem: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        SigningKey(pem)
    assert caught.value.code == "key.private.malformed"


def test_private_key_of_another_curve_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"key\.algorithm"):
        SigningKey(_pem(ec.derive_private_key(7, ec.SECP384R1()), b""))


def test_private_key_survives_its_pem() -> None:
    assert SigningKey(HOST_KEY.pem()).key_id == HOST_KEY.key_id
