"""What a book of orders holds: pauses, keys that may sign answers, orders that wait or fell.

Times are of whoever keeps the book: a governor's unix time, a gate's running time.
"""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_proto.envelope import Envelope
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.trust import VerifiedOrder
from flopgate_proto.values.orders import Delegation, Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class LatchedPause:
    """A pause in force since ``since_ms``.

    ``confirmed``: a quorum said that it does not lapse. ``signers``: key ids.
    """

    pause: Pause
    digest: bytes
    envelope: Envelope
    since_ms: int
    confirmed: bool = False
    signers: frozenset[str] = frozenset()

    @property
    def lapse_ms(self) -> int | None:
        """Gate running time after which it lapses; ``None`` never."""
        return None if self.confirmed else self.pause.lapse_ms

    def suspected(self, revoked: frozenset[str]) -> bool:
        """Whether only revoked keys stand behind it: no quorum confirmed it."""
        return not self.confirmed and bool(self.signers) and self.signers <= revoked


def lapsed(latched: LatchedPause, now_ms: int) -> bool:
    """Whether the span of a pause is over, in the time of whoever keeps the book."""
    lapse_ms = latched.lapse_ms
    return lapse_ms is not None and now_ms >= latched.since_ms + lapse_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegatedKey:
    """A key that officers let sign answers, since ``since_ms``."""

    key: VerifyingKey
    delegation: Delegation
    envelope: Envelope
    since_ms: int

    @property
    def until_ms(self) -> int:
        """End of its span."""
        return self.since_ms + self.delegation.span_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An order that its role's threshold signed and that is not in force yet.

    Attributes:
        since_ms: when it was accepted; its own spans count from here too.
        due_ms: when it comes into force, unless one officer vetoes it.
        why: what it loosens, in words.
    """

    verified: VerifiedOrder
    since_ms: int
    due_ms: int
    why: tuple[str, ...]

    @property
    def digest(self) -> bytes:
        """Identity of the order."""
        return self.verified.digest

    @property
    def envelope(self) -> Envelope:
        """The order as it was signed."""
        return self.verified.envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallen:
    """An order that waited and will not come into force: ``code`` and ``detail`` say why."""

    digest: bytes
    code: str
    detail: str
