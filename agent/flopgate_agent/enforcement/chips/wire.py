"""What the gate and the child that sets chips say to each other: JSON, one line a fact."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flopgate_proto.quick import quick

ANSWER_BYTES_MAX = 256 * 1024
"""Three rungs of 64 chips take 30 KB."""
_TEXT_MAX = 120
_UUID = re.compile(r"[A-Za-z0-9-]{1,80}")


class WireError(Exception):
    """The other side said nonsense."""


class Wish(enum.StrEnum):
    """What is wanted of a chip; each holds more than the one before it."""

    PROBE = "probe"
    """Nothing is to change: say what would work."""
    FREE = "free"
    """As it was before the gate touched it."""
    DENIED = "denied"
    """No process may make a new context; what a gate before left slow stays so."""
    SLOWED = "slowed"
    """The same, and lowest clocks and power for what computes nevertheless."""


JOURNAL: Final = "journal"
"""In the place of a rung: the record of what was before."""


class State(enum.StrEnum):
    """How one rung of one chip stands."""

    BEGUN = "begun"
    """The child has turned to this chip; the last word on a chip at which it hung."""
    DONE = "done"
    """All that one line asked for has been dealt with."""
    WORKS = "works"
    """Answer to a probe."""
    HELD = "held"
    UNDONE = "undone"
    REFUSED = "refused"
    """The driver does not do it here; the detail is its reason."""
    NOT_IN_FORCE = "not_in_force"
    """The driver said yes, and a look says no."""
    FOUND_UNDONE = "found_undone"
    """There is a record of it, and it is not set: somebody undid it, if it was held; now it is."""
    UNREADABLE = "unreadable"
    """What was before cannot be read any more: the driver's defaults were put back."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One rung of one chip, as the child left it. ``rung`` is empty where the chip is meant."""

    uuid: str
    rung: str
    state: State
    detail: str = ""

    def line(self) -> bytes:
        """As the child writes it."""
        fields = {
            "uuid": self.uuid,
            "rung": self.rung,
            "state": self.state,
            "detail": self.detail[:_TEXT_MAX],
        }
        return json.dumps(fields).encode() + b"\n"


def encode_wishes(wishes: Mapping[str, Wish]) -> bytes:
    """A line for the child."""
    return json.dumps(dict(wishes)).encode() + b"\n"


def decode_wishes(data: bytes) -> dict[str, Wish]:
    """Parse one line of the child's input.

    Raises:
        WireError: it is no such thing.
    """
    try:
        return {_uuid(uuid): Wish(wish) for uuid, wish in json.loads(data).items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise WireError(str(error)) from error


def decode_facts(data: bytes) -> tuple[Fact, ...]:
    """Parse what the child wrote; a line that it did not finish is left out.

    Raises:
        WireError: it is no such thing; never any other error.
    """
    facts = []
    whole, _, _ = data.rpartition(b"\n")
    try:
        for line in whole.splitlines():
            found = json.loads(line)
            facts.append(
                Fact(
                    uuid=_uuid(found["uuid"]),
                    rung=_text(found["rung"]),
                    state=State(found["state"]),
                    detail=_text(found["detail"]),
                )
            )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        msg = f"malformed line: {error}"
        raise WireError(msg) from error
    return tuple(facts)


def _uuid(text: object) -> str:
    """A chip's name, which also names a file."""
    if isinstance(text, str) and _UUID.fullmatch(text):
        return text
    msg = f"not a chip: {text!r}"
    raise ValueError(msg)


def _text(text: object) -> str:
    if isinstance(text, str) and len(text) <= _TEXT_MAX and text.isprintable():
        return text
    msg = f"not a text: {text!r}"
    raise ValueError(msg)
