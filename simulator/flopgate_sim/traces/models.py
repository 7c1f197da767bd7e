"""What stands for the GPU models of a recorded cluster: never a slower chip than the real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A profile for a model.

    Attributes:
        profile: a name of `scenario.profiles.PROFILES`.
        why: reason where it is not the model itself, else empty.
    """

    profile: str
    why: str = ""


_UNDISCLOSED: Final = "its maker keeps it undisclosed; no faster chip was sold when it was recorded"

PROFILE_OF: Final[Mapping[str, StandIn]] = MappingProxyType(
    {
        "V100M16": StandIn(profile="v100-16gb"),
        "V100M32": StandIn(profile="v100"),
        "T4": StandIn(profile="t4"),
        "A10": StandIn(profile="a10"),
        "P100": StandIn(
            profile="v100-16gb", why="the chip table starts with its successor, which is faster"
        ),
        "G1": StandIn(profile="h100", why=_UNDISCLOSED),
        "G2": StandIn(profile="h100", why=_UNDISCLOSED),
        "G3": StandIn(profile="h100", why=_UNDISCLOSED),
    }
)
"""By the model's name in the trace."""

UNKNOWN_MODEL: Final = StandIn(
    profile="h100", why="nobody told what it is; no faster chip was sold when these were recorded"
)
"""For every other model."""


def stand_in(model: str, chosen: Mapping[str, str]) -> StandIn:
    """What stands for a model: what the caller chose, what is known, or `UNKNOWN_MODEL`."""
    if model in chosen:
        return StandIn(profile=chosen[model], why="chosen by whoever started this")
    return PROFILE_OF.get(model, UNKNOWN_MODEL)
