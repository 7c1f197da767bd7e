"""What must be refused, and with which error: forged, misdirected, malformed and oversized."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flopgate_proto.batches import ProvenAnswer, seal_batch
from flopgate_proto.codec import (
    PayloadType,
    encode_answer,
    encode_report,
    envelope_to_object,
    envelope_to_wire,
)
from flopgate_proto.envelope import Envelope, Signature, seal
from flopgate_proto.limits import (
    CHIPS_MAX,
    LANES_MAX,
    PAYLOAD_BYTES_MAX,
    SALTED_ROW_BYTES_MAX,
    TEXT_BYTES_MAX,
)
from flopgate_proto.values import Answer, Figures, Report, Scope, ScopeKind
from vectors import answers, further, inputs, licenses, negative_orders
from vectors.negative_orders import Case, case_of

UNKNOWN_FIELD = b"\xf8\x07\x01"  # field 127, varint 1


def _spki(*names: str) -> list[str]:
    return [inputs.KEYS[name].spki.hex() for name in names]


def _decode(name: str, kind: str, payload: bytes, error: str, code: str) -> Case:
    return case_of(name, "decode", error, code, payload_type=kind, payload=payload.hex())


def cases(envelopes: Mapping[str, Envelope]) -> list[Case]:
    """Every case; ``envelopes`` are the valid statements by the name of their vector."""
    return [
        *_signatures(envelopes),
        *_payloads(envelopes),
        *_reports(),
        *_retirements(),
        *(
            _decode(name, kind, payload, "MalformedError", code)
            for name, kind, payload, code in (*further.bad(), *licenses.bad())
        ),
        *_answers(),
        *_batches(),
        *negative_orders.cases(envelopes),
        *_forms(envelopes),
    ]


def _signatures(envelopes: Mapping[str, Envelope]) -> list[Case]:
    report, policy = envelopes["report-first"], envelopes["policy"]
    signature = report.signatures[0]
    broken = bytes([*signature.sig[:-1], signature.sig[-1] ^ 1])
    once = replace(policy, signatures=(policy.signatures[0], policy.signatures[0]))

    def verify(
        name: str,
        envelope: Envelope,
        *keys: str,
        code: str = "envelope.quorum",
        threshold: int = 1,
        kind: str = report.payload_type,
    ) -> Case:
        error = "ForgedError" if code == "envelope.quorum" else "UnknownVersionError"
        return case_of(
            name,
            "verify",
            error,
            code,
            envelope=envelope_to_object(envelope),
            payload_type=kind,
            keys=_spki(*keys),
            threshold=threshold,
        )

    other_type = replace(report, payload_type=PayloadType.ENROLMENT.value)
    return [
        verify(
            "signature-bit-flipped",
            replace(report, signatures=(replace(signature, sig=broken),)),
            "host",
        ),
        verify("payload-changed", replace(report, payload=report.payload[:-1] + b"\x00"), "host"),
        verify("signed-by-unknown-key", report, "stranger"),
        verify(
            "key-id-of-another",
            replace(
                report,
                signatures=(Signature(inputs.KEYS["host"].key_id, seal_with("stranger", report)),),
            ),
            "host",
        ),
        verify(
            "one-key-twice-is-one",
            once,
            "officer-0",
            "officer-1",
            threshold=2,
            kind=policy.payload_type,
        ),
        verify(
            "type-other-than-asked",
            other_type,
            "host",
            code="envelope.type.unexpected",
        ),
        verify(
            "type-swapped-under-signature",
            other_type,
            "host",
            kind=PayloadType.ENROLMENT.value,
        ),
    ]


def seal_with(signer: str, envelope: Envelope) -> bytes:
    """Signature of a named key over an envelope's payload and type."""
    sealed = seal(envelope.payload_type, envelope.payload, [inputs.KEYS[signer]])
    return sealed.signatures[0].sig


def _payloads(envelopes: Mapping[str, Envelope]) -> list[Case]:
    report = envelopes["report-first"]
    kind, data = report.payload_type, report.payload
    not_canonical = ("MalformedError", "message.not-canonical")
    # Two roles whose key lists are not packed save the two bytes that an unknown field takes.
    role = b"\x2a\x07\x0a\x01%c\x10\x01\x18\x00"
    root = b"\x08\x01\x12\x01a\x18\x01\x22\x06\x0a\x01k\x12\x01x"
    hidden = root + role % b"p" + role % b"q" + b"\x78\x00"
    return [
        _decode("unknown-field", kind, data + UNKNOWN_FIELD, *not_canonical),
        _decode("trailing-bytes", kind, data + b"\xff", "MalformedError", "message.malformed"),
        _decode("cut-short", kind, data[:-1], "MalformedError", "message.malformed"),
        _decode("format-varint-too-long", kind, b"\x08\x81\x00" + data[2:], *not_canonical),
        _decode("format-twice", kind, b"\x08\x01" + data, *not_canonical),
        _decode("default-spelt-out", kind, data + b"\x98\x01\x00", *not_canonical),
        _decode("fields-out-of-order", kind, data[2:] + data[:2], *not_canonical),
        _decode("hidden-in-unpacked-list", PayloadType.TRUST_ROOT, hidden, *not_canonical),
        _decode("format-2", kind, b"\x08\x02" + data[2:], "UnknownVersionError", "message.format"),
        _decode("format-missing", kind, data[2:], "UnknownVersionError", "message.format"),
        _decode("empty", kind, b"", "UnknownVersionError", "message.format"),
        case_of(
            "payload-too-long",
            "decode",
            "OversizedError",
            "message.oversized",
            payload_type=kind,
            payload="00",
            times=PAYLOAD_BYTES_MAX + 1,
        ),
    ]


def _reports() -> list[Case]:
    valid = inputs.first_report(bytes(32))
    lane = valid.lanes[0]
    uneven = Figures(low_tflop=2, nominal_tflop=1, high_tflop=3)
    many = tuple(replace(lane, workload=f"w{n}", chips=(n,)) for n in range(LANES_MAX + 1))
    malformed, oversized = "MalformedError", "OversizedError"

    def case(name: str, value: Report, error: str, code: str) -> Case:
        return _decode(name, PayloadType.REPORT, encode_report(value), error, code)

    return [
        case("sequence-0", replace(valid, sequence=0), malformed, "report.sequence"),
        case("made-before-end", replace(valid, made_ms=1), malformed, "report.interval"),
        case("workload-twice", replace(valid, lanes=(lane, lane)), malformed, "field.duplicate"),
        case(
            "low-above-nominal",
            replace(valid, lanes=(replace(lane, measured=uneven),)),
            malformed,
            "figures.order",
        ),
        case(
            "asks-for-unreported-lane",
            replace(valid, lanes=(replace(lane, workload="other"),)),
            malformed,
            "request.workload",
        ),
        case("too-many-lanes", replace(valid, lanes=many), oversized, "field.oversized"),
        case("too-many-chips", replace(valid, chip_count=CHIPS_MAX + 1), oversized, "field.range"),
        case("count-above-2-63", replace(valid, running_ms=2**63), oversized, "field.range"),
        case("nonce-of-15-bytes", replace(valid, run_nonce=bytes(15)), malformed, "field.size"),
        case(
            "text-too-long",
            replace(valid, lanes=(replace(lane, stop_reason="x" * (TEXT_BYTES_MAX + 1)),)),
            oversized,
            "field.oversized",
        ),
        case(
            "text-with-newline",
            replace(valid, lanes=(replace(lane, stop_reason="a\nb"),)),
            malformed,
            "field.text",
        ),
        case_of(
            "row-too-long",
            "decode-chip-row",
            "OversizedError",
            "message.oversized",
            row="00",
            times=SALTED_ROW_BYTES_MAX + 1,
        ),
    ]


def _retirements() -> list[Case]:
    asking = encode_report(inputs.first_report(bytes(32)))
    error, code = "MalformedError", "retirement.request"
    return [_decode("retirement-that-asks", PayloadType.RETIREMENT, asking, error, code)]


def _answers() -> list[Case]:
    valid = answers.grant(bytes(32))

    def case(name: str, value: Answer, code: str) -> Case:
        payload = encode_answer(value)
        return _decode(name, PayloadType.ANSWER, payload, "MalformedError", code)

    no_outcome = encode_answer(replace(valid, verdicts=(), terms=None)) + b"\x62\x03\x0a\x01w"
    everything = Scope(ScopeKind.EVERYTHING, "id")
    return [
        case("grant-without-terms", replace(valid, terms=None), "answer.terms"),
        case("terms-without-grant", replace(valid, verdicts=()), "answer.terms"),
        case("everything-with-id", replace(valid, scopes=(everything,)), "scope.id"),
        _decode(
            "verdict-without-outcome",
            PayloadType.ANSWER,
            no_outcome,
            "MalformedError",
            "answer.verdict",
        ),
    ]


def _batches() -> list[Case]:
    payloads = [encode_answer(answer) for answer in answers.batch(3)]
    arguments: dict[str, Any] = {
        "origin": inputs.AUTHORITY,
        "batch_number": 1,
        "previous": bytes(32),
        "signer": inputs.KEYS["permit"],
    }
    proven = seal_batch(payloads, **arguments)[1][1]
    foreign = seal_batch(payloads, **(arguments | {"origin": "other.example"}))[1][1]

    def case(
        name: str, value: ProvenAnswer, error: str, code: str, keys: Sequence[str] = ("permit",)
    ) -> Case:
        return case_of(
            name,
            "verify-answer",
            error,
            code,
            authority=inputs.AUTHORITY,
            keys=_spki(*keys),
            payload=value.payload.hex(),
            index=value.index,
            path=[node.hex() for node in value.path],
            root_envelope=envelope_to_object(value.root),
        )

    misplaced = ("ForgedError", "merkle.proof")
    unfit = ("MalformedError", "merkle.path")
    return [
        case("answer-of-another-place", replace(proven, payload=payloads[0]), *misplaced),
        case("wrong-index", replace(proven, index=0), *misplaced),
        case("index-beyond-tree", replace(proven, index=3), *unfit),
        case("path-swapped", replace(proven, path=proven.path[::-1]), *misplaced),
        case("path-too-short", replace(proven, path=proven.path[:1]), *unfit),
        case("path-too-long", replace(proven, path=(*proven.path, bytes(32))), *unfit),
        case("path-of-odd-hash", replace(proven, path=(bytes(31), proven.path[1])), *unfit),
        case("root-of-unknown-key", proven, "ForgedError", "envelope.quorum", ["stranger"]),
        case("batch-of-another-origin", foreign, "MisdirectedError", "answer.authority"),
    ]


def _forms(envelopes: Mapping[str, Envelope]) -> list[Case]:
    report = envelopes["report-first"]
    unsigned = {"payload": "", "payloadType": "x", "signatures": []}
    surrogate = unsigned | {"signatures": [{"keyid": "\ud800", "sig": ""}]}
    wire = envelope_to_wire(report)
    del wire.signatures[:]
    neutral = inputs.KEYS["officer-2"].spki[:12] + (1).to_bytes(32, "little")
    p384 = _der(ec.derive_private_key(0x0909, ec.SECP384R1()).public_key())
    token = "flopgate-join-v1." + base64.urlsafe_b64encode(b'{"authority": "a"}').decode()

    def malformed(name: str, operation: str, code: str, **arguments: Any) -> Case:
        return case_of(name, operation, "MalformedError", code, **arguments)

    return [
        malformed("json-cut-short", "envelope-json", "envelope.malformed", text='{"payload": '),
        malformed(
            "json-no-signature", "envelope-json", "envelope.signatures", text=json.dumps(unsigned)
        ),
        malformed(
            "json-surrogate-key-id", "envelope-json", "envelope.key-id", text=json.dumps(surrogate)
        ),
        malformed(
            "wire-no-signature",
            "envelope-wire",
            "envelope.signatures",
            wire=wire.SerializeToString(deterministic=True).hex(),
        ),
        malformed(
            "key-compressed-point",
            "key",
            "key.encoding",
            spki=_compressed(inputs.KEYS["host"].spki).hex(),
        ),
        malformed("key-p384", "key", "key.algorithm", spki=p384.hex()),
        malformed("key-small-order", "key", "key.small-order", spki=neutral.hex()),
        malformed("key-empty", "key", "key.size", spki=""),
        malformed("key-no-der", "key", "key.malformed", spki="00"),
        case_of(
            "token-fields-missing", "join-token", "ConfigError", "join-token.malformed", text=token
        ),
        case_of("token-no-prefix", "join-token", "ConfigError", "join-token.malformed", text="x"),
    ]


def _der(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _compressed(spki: bytes) -> bytes:
    """The same P-256 key with its point compressed: valid DER, and another digest."""
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), spki[-65:]).public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    return bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
