"""A picture of everything a core holds, to compare before and after."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from flopgate_proto.keys import SigningKey, VerifyingKey

FLEETING = frozenset({"_clock"})
"""What every call moves: time itself."""


def picture(value: Any, seen: frozenset[int] = frozenset()) -> Any:
    """Nested tuples that are equal where everything inside is equal."""
    if value is None or isinstance(value, bool | int | str | bytes | enum.Enum | type):
        return value
    if isinstance(value, SigningKey | VerifyingKey):
        return value.spki
    if isinstance(value, Message):
        return value.SerializeToString(deterministic=True)
    if id(value) in seen:
        return "again"
    inside = seen | {id(value)}
    if isinstance(value, Mapping):
        return tuple(sorted((repr(key), repr(picture(one, inside))) for key, one in value.items()))
    if isinstance(value, set | frozenset):
        return tuple(sorted(repr(picture(one, inside)) for one in value))
    if isinstance(value, list | tuple):
        return tuple(picture(one, inside) for one in value)
    names = [*getattr(value, "__dict__", {}), *_slots(type(value))]
    if not names:
        raise TypeError(f"no picture of {type(value)}")
    return (
        type(value).__name__,
        tuple(
            (name, picture(getattr(value, name), inside))
            for name in sorted(names)
            if name not in FLEETING
        ),
    )


def _slots(kind: type) -> list[str]:
    return [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
