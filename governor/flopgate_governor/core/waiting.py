"""Orders that loosen wait (law 6): what one of them is, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_proto.envelope import Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An order that a quorum signed and that is not in force yet.

    Attributes:
        due_unix_ms: our own time at which it comes into force, unless one officer vetoes it.
        why: what it loosens, in words.
    """

    digest: bytes
    envelope: Envelope
    accepted_unix_ms: int
    due_unix_ms: int
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallen:
    """An order that waited and will not come into force: ``code`` and ``detail`` say why."""

    digest: bytes
    code: str
    detail: str
