"""What is encoded decodes to the same value, over the whole range of every field."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto.codec import (
    PayloadType,
    decode_admission,
    decode_answer,
    decode_batch_root,
    decode_chip_row,
    decode_cluster_merge,
    decode_enrolment,
    decode_heads,
    decode_neighbours,
    decode_opening,
    decode_order,
    decode_report,
    decode_retirement,
    decode_trusted_time,
    encode_admission,
    encode_answer,
    encode_batch_root,
    encode_chip_row,
    encode_cluster_merge,
    encode_enrolment,
    encode_heads,
    encode_neighbours,
    encode_opening,
    encode_order,
    encode_report,
    encode_trusted_time,
    envelope_from_json,
    envelope_from_wire,
    envelope_to_json,
    envelope_to_wire,
)
from flopgate_proto.envelope import Envelope, Signature
from flopgate_proto.errors import MalformedError
from flopgate_proto.joining import JoinToken
from flopgate_proto.values import ClusterRuling, Order
from tests.support import further_orders
from tests.support import order_strategies as given_orders
from tests.support import strategies as given_values

RULINGS = st.builds(
    ClusterRuling,
    authority=given_values.NAMES,
    authority_id=given_values.DIGESTS,
    clusters=st.lists(given_values.NAMES, min_size=2, max_size=3, unique=True).map(tuple),
    apart=st.booleans(),
    nonce=given_values.NONCES,
    reason=given_values.NAMES,
)
STATEMENTS: dict[str, tuple[Any, Any, Any]] = {
    "enrolment": (given_values.enrolments(), encode_enrolment, decode_enrolment),
    "report": (given_values.reports(), encode_report, decode_report),
    "retirement": (
        given_values.reports().map(lambda report: replace(report, request=None)),
        encode_report,
        decode_retirement,
    ),
    "chip row": (given_values.CHIP_ROWS, encode_chip_row, decode_chip_row),
    "answer": (given_values.answers(), encode_answer, decode_answer),
    "batch root": (given_values.BATCH_ROOTS, encode_batch_root, decode_batch_root),
    "admission": (given_values.ADMISSIONS, encode_admission, decode_admission),
    "heads": (further_orders.HEADS, encode_heads, decode_heads),
    "cluster merge": (further_orders.MERGES, encode_cluster_merge, decode_cluster_merge),
    "neighbours": (further_orders.NEIGHBOURS, encode_neighbours, decode_neighbours),
    "reserve opening": (further_orders.OPENINGS, encode_opening, decode_opening),
    "trusted time": (further_orders.TIMES, encode_trusted_time, decode_trusted_time),
}
ORDERS: dict[str, tuple[st.SearchStrategy[Any], PayloadType]] = {
    "trust root": (given_orders.trust_roots(), PayloadType.TRUST_ROOT),
    "delegation": (given_orders.DELEGATIONS, PayloadType.DELEGATION),
    "policy": (given_orders.policies(), PayloadType.POLICY),
    "pause": (given_orders.PAUSES, PayloadType.PAUSE),
    "resume": (given_orders.RESUMES, PayloadType.RESUME),
    "reconciliation": (given_orders.RECONCILIATIONS, PayloadType.RECONCILIATION),
    "cluster ruling": (RULINGS, PayloadType.CLUSTER_RULING),
    **further_orders.ANY,
}
SIGNATURES = st.builds(
    Signature,
    key_id=st.text(st.characters(codec="ascii"), max_size=128),
    sig=st.binary(max_size=100),
)
ENVELOPES = st.builds(
    Envelope,
    st.text(st.characters(codec="ascii"), min_size=1, max_size=128),
    st.binary(max_size=300),
    st.lists(SIGNATURES, min_size=1, max_size=4).map(tuple),
)


@pytest.mark.parametrize("name", STATEMENTS)
@given(data=st.data())
def test_statement(name: str, data: st.DataObject) -> None:
    values, encode, decode = STATEMENTS[name]
    value = data.draw(values)
    payload = encode(value)
    assert decode(payload) == value
    assert encode(decode(payload)) == payload


@pytest.mark.parametrize("name", ORDERS)
@given(data=st.data())
def test_order(name: str, data: st.DataObject) -> None:
    values, expected_type = ORDERS[name]
    value: Order = data.draw(values)
    payload_type, payload = encode_order(value)
    assert payload_type is expected_type
    assert decode_order(payload_type, payload) == value


def test_every_payload_type_is_covered() -> None:
    signed = {name.replace(" ", "-") for name in STATEMENTS} - {"chip-row"}
    types = {kind.value.split(".")[2] for kind in PayloadType}
    assert types == signed | {name.replace(" ", "-") for name in ORDERS}


@given(envelope=ENVELOPES)
def test_envelope(envelope: Envelope) -> None:
    assert envelope_from_wire(envelope_to_wire(envelope)) == envelope
    text = envelope_to_json(envelope)
    assert envelope_from_json(text) == envelope


@given(envelope=ENVELOPES)
def test_envelope_in_the_url_safe_alphabet(envelope: Envelope) -> None:
    """DSSE lets a signer choose; `+` and `/` occur in base64 fields only if keys have neither."""
    plain = Envelope("a", envelope.payload, (Signature("b", envelope.signatures[0].sig),))
    text = envelope_to_json(plain).replace("+", "-").replace("/", "_")
    assert envelope_from_json(text) == plain


NAMES = st.text(st.characters(codec="utf-8"), max_size=40)


@given(
    token=st.builds(
        JoinToken,
        authority=NAMES,
        trust_root_digest=given_values.DIGESTS,
        enroll_address=NAMES,
        link_address=NAMES,
        tls_ca_pem=NAMES,
        cluster=NAMES,
        custodian=NAMES,
        site=NAMES,
        jurisdiction=NAMES,
        token_id=given_values.NONCES,
        secret=given_values.DIGESTS,
    )
)
def test_join_token(token: JoinToken) -> None:
    assert JoinToken.parse(token.text()) == token
    assert JoinToken.parse(f"\n {token.text()} \n") == token


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes([*data, number])


@pytest.mark.parametrize("name", [*STATEMENTS, *ORDERS])
@settings(max_examples=30)
@given(data=st.data(), number=st.integers(100, 2**29 - 1))
def test_no_statement_takes_an_unknown_field(name: str, data: st.DataObject, number: int) -> None:
    """Whatever a signature covers means the same to every reader, or nothing."""
    if name in ORDERS:
        payload_type, payload = encode_order(data.draw(ORDERS[name][0]))
        decode_order(payload_type, payload)
        with pytest.raises(MalformedError, match=r"message\.not-canonical"):
            decode_order(payload_type, payload + _varint(number << 3) + b"\x01")
        return
    values, encode, decode = STATEMENTS[name]
    payload = encode(data.draw(values))
    decode(payload)
    with pytest.raises(MalformedError, match=r"message\.not-canonical"):
        decode(payload + _varint(number << 3) + b"\x01")
