"""Envelopes on the wire and in files, and messages of the transport."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final, TypeVar

from google.protobuf.message import DecodeError, Message

from flopgate_proto.codec import checks
from flopgate_proto.envelope import Envelope, Signature
from flopgate_proto.errors import MalformedError, OversizedError
from flopgate_proto.limits import (
    MESSAGE_BYTES_MAX,
    SIGNATURE_BYTES_MAX,
    SIGNATURES_MAX,
    TPM_STRUCTURE_BYTES_MAX,
)
from flopgate_proto.quick import maker
from flopgate_proto.tpm_quote import TpmQuote
from flopgate_proto.v1 import flopgate_pb2 as pb

make_envelope = maker(Envelope)
make_signature = maker(Signature)

M = TypeVar("M", bound=Message)

_STANDARD_ALPHABET: Final = str.maketrans("-_", "+/")


def parse_message(message: M, data: bytes, bytes_max: int = MESSAGE_BYTES_MAX) -> M:
    """Fill an unsigned transport message. Unknown fields pass: nothing rests on them.

    Raises:
        MalformedError: not such a message.
        OversizedError: longer than ``bytes_max``.
    """
    if len(data) > bytes_max:
        raise OversizedError(
            f"message of {len(data)} bytes, at most {bytes_max} are taken", code="message.oversized"
        )
    try:
        message.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        raise MalformedError(
            f"not a {message.DESCRIPTOR.name} message", code="message.malformed"
        ) from error
    return message


def envelope_to_wire(value: Envelope) -> pb.Envelope:
    """Protobuf form."""
    # Filling a message field by field costs a third of its constructor.
    message = pb.Envelope()
    message.payload = value.payload
    message.payload_type = value.payload_type
    for signature in value.signatures:
        added = message.signatures.add()
        added.sig = signature.sig
        added.keyid = signature.key_id
    return message


def envelope_from_wire(message: pb.Envelope) -> Envelope:
    """Envelope from its protobuf form.

    Raises:
        MalformedError, OversizedError: see ``Envelope``.
    """
    # Before a list is built: two bytes make a signature, so one message can hold two million.
    if len(message.signatures) > SIGNATURES_MAX:
        raise MalformedError(
            f"{len(message.signatures)} signatures, 1 to {SIGNATURES_MAX} are taken",
            code="envelope.signatures",
        )
    return make_envelope(
        message.payload_type,
        message.payload,
        tuple([make_signature(s.keyid, s.sig) for s in message.signatures[:]]),
    )


def envelope_to_json(value: Envelope) -> str:
    """DSSE's JSON form, for files; any DSSE library reads it."""
    return json.dumps(envelope_to_object(value), indent=1)


def envelope_to_object(value: Envelope) -> dict[str, Any]:
    """DSSE's JSON form before it is written."""
    return {
        "payload": base64.b64encode(value.payload).decode(),
        "payloadType": value.payload_type,
        "signatures": [
            {"keyid": s.key_id, "sig": base64.b64encode(s.sig).decode()} for s in value.signatures
        ],
    }


def envelope_from_json(data: str) -> Envelope:
    """Envelope from DSSE's JSON form.

    Raises:
        MalformedError: not such a document.
        OversizedError: longer than a message may be.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise OversizedError(f"file of {len(data)} characters", code="envelope.oversized")
    try:
        return envelope_from_object(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise MalformedError("not a DSSE envelope in JSON", code="envelope.malformed") from error


def envelope_from_object(document: Any) -> Envelope:
    """Envelope from DSSE's JSON form after it was read.

    Raises:
        MalformedError, OversizedError: not such a document.
    """
    try:
        return make_envelope(
            _string(document["payloadType"]),
            _decode(document["payload"]),
            tuple(
                make_signature(_string(s["keyid"]), _decode(s["sig"]))
                for s in document["signatures"]
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedError("not a DSSE envelope in JSON", code="envelope.malformed") from error


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _decode(value: object) -> bytes:
    try:
        # DSSE allows both alphabets and asks verifiers to take either.
        return base64.b64decode(_string(value).translate(_STANDARD_ALPHABET), validate=True)
    except binascii.Error as error:
        raise ValueError from error


def tpm_quote_to_wire(value: TpmQuote) -> pb.TpmQuote:
    """Protobuf form."""
    return pb.TpmQuote(
        attestation_public=value.attestation_public,
        host_public=value.host_public,
        quote=value.quote,
        quote_signature=value.quote_signature,
        certification=value.certification,
        certification_signature=value.certification_signature,
    )


def tpm_quote_from_wire(message: pb.TpmQuote) -> TpmQuote:
    """A quote from its protobuf form, unchecked but for its size.

    Raises:
        OversizedError: a part of it is larger than such a thing can be.
    """

    def part(name: str, bytes_max: int = TPM_STRUCTURE_BYTES_MAX) -> bytes:
        return checks.at_most(getattr(message, name), bytes_max, name)

    return TpmQuote(
        attestation_public=part("attestation_public"),
        host_public=part("host_public"),
        quote=part("quote"),
        quote_signature=part("quote_signature", SIGNATURE_BYTES_MAX),
        certification=part("certification"),
        certification_signature=part("certification_signature", SIGNATURE_BYTES_MAX),
    )
