"""Values of the protocol's enums as people and programs read them."""

from __future__ import annotations

from google.protobuf.descriptor import EnumDescriptor


def word_of(kind: EnumDescriptor, number: int) -> str:
    """``winding_down`` for `LANE_STATE_WINDING_DOWN`: its name less that of its type."""
    names = kind.values_by_number
    # The first is named after the type alone: LANE_STATE_UNSPECIFIED.
    prefix = names[0].name.removesuffix("UNSPECIFIED")
    return names[number].name.removeprefix(prefix).lower()
