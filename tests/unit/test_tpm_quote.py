"""What a TPM says of a host: what a real one said holds, and everything else is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flopgate_proto.codec.transport import tpm_quote_from_wire, tpm_quote_to_wire
from flopgate_proto.errors import OversizedError, PeerError
from flopgate_proto.keys import SigningKey
from flopgate_proto.limits import TPM_STRUCTURE_BYTES_MAX
from flopgate_proto.tpm_quote import TpmQuote, check_quote
from tests.support.fixed import HOST_KEY
from tests.support.quoting import CERTIFY, OWN, PCR_DIGEST, RESTRICTED, QuotingTpm

DIGEST: Final = bytes([0xE1] * 32)
CAPTURED: Final = json.loads((Path(__file__).parents[1] / "data" / "tpm_quote.json").read_text())
ATTRIBUTES: Final = range(4, 8)
NAMES: Final = [one.name for one in fields(TpmQuote)]


def captured() -> tuple[TpmQuote, bytes, bytes]:
    """What swtpm said: the quote, the host key and the enrolment's digest."""
    parts = {name: bytes.fromhex(text) for name, text in CAPTURED["quote"].items()}
    digest = bytes.fromhex(CAPTURED["enrolment_digest"])
    return TpmQuote(**parts), bytes.fromhex(CAPTURED["host_spki"]), digest


def test_what_a_tpm_said_holds() -> None:
    quote, host_spki, digest = captured()
    checked = check_quote(quote, host_spki, digest)
    assert checked.pcrs == tuple(range(8))
    assert checked.pcr_digest.hex() == CAPTURED["pcr_digest"]
    assert checked.safe


def test_what_it_holds_is_read_from_its_place() -> None:
    checked = check_quote(QuotingTpm(host=HOST_KEY).quote(DIGEST), HOST_KEY.spki, DIGEST)
    assert checked.attestation_spki == SigningKey.from_scalar(0xA77).spki
    assert (checked.pcrs, checked.pcr_digest) == (tuple(range(8)), PCR_DIGEST)
    assert (checked.clock_ms, checked.safe) == (86_400_000, True)


@pytest.mark.parametrize("name", NAMES)
@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_bit_of_what_a_tpm_said_can_be_changed(name: str, place: int, flip: int) -> None:
    quote, host_spki, digest = captured()
    part = bytearray(getattr(quote, name))
    # What the attestation key says of itself nobody vouches for, without its maker's certificate.
    assume(name != "attestation_public" or place % len(part) not in ATTRIBUTES)
    part[place % len(part)] ^= flip
    with pytest.raises(PeerError):
        check_quote(replace(quote, **{name: bytes(part)}), host_spki, digest)


@pytest.mark.parametrize("name", NAMES)
@given(part=st.binary(max_size=200))
def test_any_bytes_are_refused_by_one_of_our_errors(name: str, part: bytes) -> None:
    quote, host_spki, digest = captured()
    with pytest.raises(PeerError):
        check_quote(replace(quote, **{name: part}), host_spki, digest)


@pytest.mark.parametrize(
    ("made", "code"),
    [
        # A key that can leave its TPM, or that signs whatever it is given: it proves nothing.
        ({"host_attributes": OWN & ~0x2}, "quote.key"),
        ({"host_attributes": OWN & ~0x20}, "quote.key"),
        ({"attestation_attributes": OWN}, "quote.key"),
        ({"attestation_attributes": OWN | RESTRICTED | 0x2_0000}, "quote.key"),
        ({"attestation_attributes": (OWN | RESTRICTED) & ~0x10}, "quote.key"),
        ({"magic": b"\xffTCH"}, "quote.malformed"),
        ({"quote_kind": CERTIFY}, "quote.malformed"),
        ({"selection": bytes.fromhex("00000001 0004 03 ff0000")}, "quote.malformed"),
        ({"selection": bytes.fromhex("00000002 000b 03 ff0000 000b 03 ff0000")}, "quote.malformed"),
        ({"selection": bytes.fromhex("00000001 000b 03 000000")}, "quote.malformed"),
        ({"selection": bytes.fromhex("00000001 000b 05 ff00000000")}, "quote.malformed"),
        ({"pcr_digest": bytes(20)}, "quote.malformed"),
        ({"trailing": b"\0"}, "quote.malformed"),
        ({"certified": b"\x00\x0b" + bytes(32)}, "quote.host-key"),
    ],
)
def test_what_does_not_bind_key_and_boot_is_refused(made: dict[str, Any], code: str) -> None:
    quote = QuotingTpm(host=HOST_KEY, **made).quote(DIGEST)
    with pytest.raises(PeerError) as error:
        check_quote(quote, HOST_KEY.spki, DIGEST)
    assert error.value.code == code


def test_a_quote_serves_one_host_key_and_one_enrolment() -> None:
    quote = QuotingTpm(host=HOST_KEY).quote(DIGEST)
    with pytest.raises(PeerError) as error:
        check_quote(quote, HOST_KEY.spki, bytes(32))
    assert error.value.code == "quote.nonce"
    with pytest.raises(PeerError) as error:
        check_quote(quote, SigningKey.from_scalar(9).spki, DIGEST)
    assert error.value.code == "quote.host-key"
    other = QuotingTpm(host=HOST_KEY, attestation=SigningKey.from_scalar(5)).quote(DIGEST)
    mixed = replace(quote, attestation_public=other.attestation_public)
    with pytest.raises(PeerError) as error:
        check_quote(mixed, HOST_KEY.spki, DIGEST)
    assert error.value.code == "signature.invalid"


def test_it_crosses_the_wire_whole_and_bounded() -> None:
    quote = QuotingTpm(host=HOST_KEY).quote(DIGEST)
    assert tpm_quote_from_wire(tpm_quote_to_wire(quote)) == quote
    long = replace(quote, quote=bytes(TPM_STRUCTURE_BYTES_MAX + 1))
    with pytest.raises(OversizedError):
        tpm_quote_from_wire(tpm_quote_to_wire(long))
