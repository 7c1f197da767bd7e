"""What goes into the courier's core and what comes out: values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from flopgate_proto.quick import quick
from flopgate_proto.v1 import flopgate_pb2 as pb


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """Both clocks. ``mono_ms`` for every wait; ``wall_unix_ms`` for certificates alone."""

    mono_ms: int
    wall_unix_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """Span of a TLS certificate, Unix time."""

    not_before_unix_ms: int
    not_after_unix_ms: int

    @property
    def renew_unix_ms(self) -> int:
        """From here on a third of the span or less is left."""
        return self.not_after_unix_ms - (self.not_after_unix_ms - self.not_before_unix_ms) // 3


class Loss(enum.Enum):
    """Why a stream or a call ended."""

    UNREACHABLE = "courier.authority.unreachable"
    REFUSED = "courier.authority.refused"
    """The authority does not take this certificate: it is renewed before the next attempt."""
    SILENT = "courier.authority.silent"
    ENROLMENT = "courier.enrolment.failed"


@quick
@dataclass(frozen=True, slots=True)
class ToGate:
    """Send this through the door."""

    message: pb.ToGate


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Connect to the authority's link address; say ``hello`` first."""

    hello: pb.LinkUp


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Give up stream or attempt; nothing of it may be reported later."""


@dataclass(frozen=True, slots=True)
class Enroll:
    """Call the authority's enroll address."""

    request: pb.EnrollRequest


@dataclass(frozen=True, slots=True)
class Write:
    """Something is queued: take it, write it, say when it is written."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the log. ``code`` is stable and dotted, ``level`` a name of ``logging``."""

    level: str
    code: str
    detail: str


Action = ToGate | OpenStream | CloseStream | Enroll | Write | Note
