"""Every parser of the protocol under one name each: what totality and vectors are tested on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from google.protobuf.message import Message

from flopgate_proto import merkle
from flopgate_proto.batches import ProvenAnswer, verify_answer
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
    decode_topology,
    decode_trusted_time,
    envelope_from_json,
    envelope_from_wire,
    parse_message,
)
from flopgate_proto.envelope import Envelope, seal, verify
from flopgate_proto.joining import JoinToken
from flopgate_proto.keys import SigningKey, VerifyingKey
from flopgate_proto.trust import Trust
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.file_parsers import FILE_PARSERS
from tests.support.fixed import AUTHORITY, OFFICER_KEYS, PERMIT_KEY
from tests.support.orders import trust

DECODERS: Final[Mapping[str, Callable[[bytes], object]]] = {
    PayloadType.ENROLMENT: decode_enrolment,
    PayloadType.REPORT: decode_report,
    PayloadType.RETIREMENT: decode_retirement,
    PayloadType.ANSWER: decode_answer,
    PayloadType.BATCH_ROOT: decode_batch_root,
    PayloadType.ADMISSION: decode_admission,
    PayloadType.HEADS: decode_heads,
    PayloadType.NEIGHBOURS: decode_neighbours,
    PayloadType.CLUSTER_MERGE: decode_cluster_merge,
    PayloadType.RESERVE_OPENING: decode_opening,
    PayloadType.TRUSTED_TIME: decode_trusted_time,
}

TRANSPORT: Final = (
    pb.Envelope,
    pb.SignedReport,
    pb.AnswerBatch,
    pb.SignedOrder,
    pb.LinkUp,
    pb.LinkDown,
    pb.EnrollRequest,
    pb.EnrollReply,
    pb.SubmitOrderRequest,
    pb.SubmitOrderReply,
    pb.HostLicense,
    pb.DeliverRequest,
    pb.DeliverReply,
    pb.IssueLicensesRequest,
    pb.IssueLicensesReply,
    pb.GetStatusReply,
    pb.ToGate,
    pb.FromGate,
)


def decode(payload_type: str, data: bytes) -> object:
    """Value of a payload of this type."""
    decoder = DECODERS.get(payload_type)
    return decoder(data) if decoder else decode_order(payload_type, data)


def wire_envelope(data: bytes) -> Envelope:
    """Envelope from its protobuf bytes."""
    return envelope_from_wire(parse_message(pb.Envelope(), data))


def _text(data: bytes) -> str:
    """Text with a lone surrogate for each byte that is no UTF-8, as JSON escapes can give."""
    return data.decode("utf-8", "surrogateescape")


def _signed(payload_type: str, data: bytes, signers: Sequence[SigningKey]) -> Envelope:
    return seal(payload_type, data, signers)


def _answer(data: bytes) -> object:
    """The bytes are first the answer, then the root of its batch, both correctly signed."""
    root = _signed(PayloadType.BATCH_ROOT, data, [PERMIT_KEY])
    keys = {PERMIT_KEY.key_id: PERMIT_KEY.verifying_key}
    return verify_answer(ProvenAnswer(data, 0, (), root), AUTHORITY, keys)


def _pinned(data: bytes) -> object:
    envelope = _signed(PayloadType.TRUST_ROOT, data, OFFICER_KEYS)
    return Trust.pinned(envelope, envelope.digest)


def _wire_root(data: bytes) -> object:
    envelope = wire_envelope(data)
    return Trust.pinned(envelope, envelope.digest)


def _path(data: bytes) -> object:
    """Two bytes of index, two of size, then hashes."""
    hashes = [data[at : at + 32] for at in range(4, len(data), 32)]
    index, size = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    return merkle.root_from_path(bytes(32), index, size, hashes)


def _signature(data: bytes) -> None:
    PERMIT_KEY.verifying_key.verify(data, b"message")


def _wire_order(data: bytes) -> object:
    return trust().verify(wire_envelope(data))


def _wire_verify(data: bytes) -> object:
    envelope = wire_envelope(data)
    return verify(envelope, envelope.payload_type, {PERMIT_KEY.key_id: PERMIT_KEY.verifying_key})


def _message(kind: type[Message]) -> Callable[[bytes], object]:
    return lambda data: parse_message(kind(), data)


def _order(kind: str) -> Callable[[bytes], object]:
    return lambda data: decode_order(kind, data)


PARSERS: Final[Mapping[str, Callable[[bytes], object]]] = {
    **{kind.rsplit("/", 1)[1]: decoder for kind, decoder in DECODERS.items()},
    **{kind.rsplit("/", 1)[1]: _order(kind) for kind in PayloadType if kind not in DECODERS},
    "decode-order-of-any-type": lambda data: decode_order(_text(data), data),
    "chip-row": decode_chip_row,
    "topology": decode_topology,
    **{f"message-{kind.DESCRIPTOR.name}": _message(kind) for kind in TRANSPORT},
    "envelope-json": lambda data: envelope_from_json(_text(data)),
    "envelope-wire": wire_envelope,
    "envelope-verify": _wire_verify,
    "join-token": lambda data: JoinToken.parse(_text(data)),
    "join-token-of-prefix": lambda data: JoinToken.parse("flopgate-join-v1." + _text(data)),
    "key": VerifyingKey,
    "signature": _signature,
    "answer": _answer,
    "trust-pinned": _pinned,
    "trust-pinned-wire": _wire_root,
    "trust-verify-wire": _wire_order,
    "merkle-path": _path,
    **FILE_PARSERS,
}
"""Any bytes whatever give a value or a FlopgateError, never another exception."""
