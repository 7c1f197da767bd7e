"""Statements in plain words: every field that is in the bytes, none left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message import Message

from flopgate_agent.outbox.entries import Entry
from flopgate_agent.outbox.words import FIELDS
from flopgate_proto.amounts import date_text, flop_text
from flopgate_proto.codec import PayloadType, parse_message
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.words import word_of

_UNITS: Final = {
    "_mbit_per_s": "Mbit/s",
    "_tflop": "TFLOP",
    "_ms": "ms",
}


def line_of(entry: Entry) -> str:
    """One line: what it is, how long, who has it, what it says in short."""
    message = entry.message
    said = "asks for admission"
    if isinstance(message, pb.Report):
        lanes = [
            f"{lane.workload} {word_of(pb.LaneState.DESCRIPTOR, lane.state)} "
            f"{flop_text(lane.total.nominal_tflop)}"
            for lane in message.lanes
        ]
        said = f"{date_text(message.wall_unix_ms)}  {'; '.join(lanes)}"
        said += "; asks" if message.HasField("request") else ""
        said += "; the last one" if entry.payload_type == PayloadType.RETIREMENT else ""
    return f"{entry.name}  {len(entry.raw)} bytes  {who_has(entry)}  {said}"


def who_has(entry: Entry) -> str:
    """Which authorities signed for it."""
    parts = []
    if entry.held_by:
        parts.append(f"held by {', '.join(entry.held_by)}")
    if entry.wanted_by:
        parts.append(f"not acknowledged by {', '.join(entry.wanted_by)}")
    return "; ".join(parts) or "for nobody yet"


def told(entry: Entry) -> Iterator[str]:
    """The whole of it, a line a field."""
    yield f"{entry.name}: {len(entry.raw)} bytes leave; {who_has(entry)}"
    yield f"what is signed: {entry.payload_type}, {len(entry.envelope.payload)} bytes"
    for signature in entry.envelope.signatures:
        yield f"  signed by key {signature.keyid}: {signature.sig.hex()}"
    if entry.rows:
        yield (
            f"what stays: figures of {entry.rows} single chips. No policy entitles a recipient to "
            "them yet; a seal over them is below."
        )
    yield from _fields(entry.message, 0)
    if entry.quote is not None:
        yield "beside it, signed by the TPM:"
        yield from _fields(entry.quote, 1)
    for root in entry.roots:
        key_ids = ", ".join(signature.keyid for signature in root.signatures)
        yield f"beside it, to its origin alone, as that signed it by key {key_ids}:"
        yield from _fields(parse_message(pb.BatchRoot(), root.payload), 1)


def _fields(message: Message, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for field in message.DESCRIPTOR.fields:
        name = FIELDS[f"{message.DESCRIPTOR.name}.{field.name}"]
        value = getattr(message, field.name)
        if field.message_type is not None:
            values = list(value) if field.is_repeated else [value]
            if not field.is_repeated and not message.HasField(field.name):
                values = []
            if not values:
                yield f"{indent}{name}: none"
            for number, one in enumerate(values, start=1):
                place = f" {number} of {len(values)}" if field.is_repeated else ""
                yield f"{indent}{name}{place}:"
                yield from _fields(one, depth + 1)
        elif field.has_presence and not message.HasField(field.name):
            yield f"{indent}{name}: unknown"
        elif field.is_repeated:
            text = ", ".join(_plain(field, one) for one in value)
            yield f"{indent}{name}: {text or 'none'}"
        else:
            yield f"{indent}{name}: {_plain(field, value)}"


def _plain(field: Any, value: Any) -> str:
    if field.enum_type is not None:
        return word_of(field.enum_type, value)
    if isinstance(value, bytes):
        return value.hex() or "none"
    if isinstance(value, str):
        return value or "none"
    if field.name == "wall_unix_ms":
        return f"{value} ms ({date_text(value)})"
    unit = next((unit for end, unit in _UNITS.items() if field.name.endswith(end)), "")
    return f"{value} {unit}".rstrip()
