"""Orders as a gate holds them: pauses that are latched, keys that may sign, orders that wait."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_proto.keys import VerifyingKey
from flopgate_proto.trust import VerifiedOrder
from flopgate_proto.values import Delegation, Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class LatchedPause:
    """A pause in force, since the gate running time at which it was first seen.

    ``confirmed``: a quorum signed it, or said later that it does not lapse.
    """

    pause: Pause
    digest: bytes
    first_seen_running_ms: int
    confirmed: bool
    signers: frozenset[str] = frozenset()

    def lapsed(self, running_ms: int) -> bool:
        """Whether its own span is over; one that a quorum signed or that has no span never is."""
        lapse_ms = self.pause.lapse_ms
        return (
            lapse_ms is not None
            and not self.confirmed
            and running_ms >= self.first_seen_running_ms + lapse_ms
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitKey:
    """An online key that officers let sign answers."""

    key: VerifyingKey
    delegation: Delegation
    until_running_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An order that was new, with the gate running time from which its spans count.

    ``waits``: it loosens, and comes into force later, unless it is vetoed.
    """

    verified: VerifiedOrder
    first_seen_running_ms: int
    waits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingOrder:
    """An order that is not in force yet."""

    verified: VerifiedOrder
    first_seen_running_ms: int
    due_running_ms: int
