"""Bounds that every decoded field passes through."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from flopgate_proto.errors import MalformedError, OversizedError, UnknownVersionError
from flopgate_proto.limits import COUNT_MAX, DIGEST_BYTES, PAYLOAD_BYTES_MAX, TEXT_BYTES_MAX

FORMAT: Final = 1
"""Value of the ``format`` field of every statement of version 1."""

# A fixed list: str.isprintable() changes with the Unicode version, and verifiers would disagree.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)

M = TypeVar("M", bound=Message)
E = TypeVar("E", bound=enum.IntEnum)
T = TypeVar("T")


class _Formatted(Protocol):
    format: int


F = TypeVar("F", bound=_Formatted)


def parse_exact(message: M, data: bytes, bytes_max: int = PAYLOAD_BYTES_MAX) -> M:
    """Fill ``message`` from bytes that hold it and nothing else.

    The bytes must be those that deterministic serialization gives: fields in the order of their
    numbers, lists of numbers packed, shortest encodings, defaults left out, nothing unknown. What
    a signature covers must mean the same to every reader.
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
    message.DiscardUnknownFields()
    # Comparing lengths is not enough: an unpacked list saves bytes in which a field can hide.
    if message.SerializeToString(deterministic=True) != data:
        raise MalformedError(
            f"{message.DESCRIPTOR.name} holds unknown fields or is not in canonical form",
            code="message.not-canonical",
            remedy="Check that both sides speak the same version.",
        )
    return message


def check_format(message: F) -> F:
    """The statement, unless it is of another format than 1."""
    if message.format != FORMAT:
        raise UnknownVersionError(
            f"format {message.format} where {FORMAT} was expected",
            code="message.format",
            remedy="Update this software, or the sender's.",
        )
    return message


def count(value: int, name: str, maximum: int = COUNT_MAX) -> int:
    """A count, time or version: 0 to 2**63-1, or to a lower maximum."""
    if value > maximum:
        raise OversizedError(f"{name} is {value}, at most {maximum} is taken", code="field.range")
    return value


def digest(value: bytes, name: str) -> bytes:
    """Exactly 32 bytes."""
    return value if len(value) == DIGEST_BYTES else exact(value, DIGEST_BYTES, name)


def digest_or_empty(value: bytes, name: str) -> bytes:
    """32 bytes or none."""
    return digest(value, name) if value else b""


def exact(value: bytes, size: int, name: str) -> bytes:
    """Exactly ``size`` bytes."""
    if len(value) != size:
        raise MalformedError(
            f"{name} has {len(value)} bytes where {size} were expected", code="field.size"
        )
    return value


def exact_or_empty(value: bytes, size: int, name: str) -> bytes:
    """Exactly ``size`` bytes or none."""
    return exact(value, size, name) if value else b""


def at_most(value: bytes, size: int, name: str) -> bytes:
    """At most ``size`` bytes."""
    if len(value) > size:
        raise OversizedError(
            f"{name} has {len(value)} bytes, at most {size} are taken", code="field.oversized"
        )
    return value


def text(value: str, name: str, *, required: bool = False) -> str:
    """At most 256 bytes of UTF-8 without control, separator and direction characters."""
    if not value:
        if required:
            raise MalformedError(f"{name} is empty", code="field.empty")
        return value
    plain = value.isascii() and value.isprintable()
    if len(value if plain else value.encode()) > TEXT_BYTES_MAX:
        raise OversizedError(
            f"{name} is longer than {TEXT_BYTES_MAX} bytes", code="field.oversized"
        )
    if not plain and _UNPRINTABLE.search(value):
        raise MalformedError(f"{name} holds control characters", code="field.text")
    return value


def member(kind: type[E], value: int, name: str) -> E:
    """A known member of an enum; 0 (unspecified) is none."""
    found = kind._value2member_map_.get(value)
    if not isinstance(found, kind):
        raise MalformedError(f"{name} has the unknown value {value}", code="field.enum")
    return found


def few(values: Sequence[T], maximum: int, name: str) -> Sequence[T]:
    """A list no longer than its named maximum."""
    if len(values) > maximum:
        raise OversizedError(
            f"{len(values)} {name}, at most {maximum} are taken", code="field.oversized"
        )
    # A slice is a list: protobuf's own lists end each loop with an exception.
    return values[:]


def unique(values: Sequence[object], name: str) -> None:
    """No value twice."""
    if len(values) > 1 and len(set(values)) != len(values):
        raise MalformedError(f"{name} are not all different", code="field.duplicate")


def whose(message: Any, *, root: bool = False) -> dict[str, Any]:
    """Of which authority an order is: its name and its id; ``root``: the first one has no id."""
    check = digest_or_empty if root else digest
    return {
        "authority": text(message.authority, "authority", required=True),
        "authority_id": check(message.authority_id, "authority id"),
    }


def wire(value: enum.IntEnum) -> Any:
    """A member as protobuf's own enum type wants it, which exists in stubs only."""
    return int(value)
