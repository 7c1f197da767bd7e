"""Reports on their way to couriers: read from the ledger, a window ahead, again when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from flopgate_proto.v1 import flopgate_pb2 as pb

READ_REPORTS_MAX = 32
"""Reports read from the ledger at once."""


class Clients(Protocol):
    """Connected couriers."""

    @property
    def clients(self) -> Mapping[int, int]:
        """Their ids, oldest first, each with its dropped frames."""

    def send(self, client_id: int, message: pb.FromGate) -> bool:
        """Hand over a message; whether it was taken."""


class Reports(Protocol):
    """Where reports are kept."""

    def reports(self, from_sequence: int, limit: int) -> list[tuple[int, pb.SignedReport]]:
        """Those from a sequence on, as they leave, with the roots of all that they quote."""


class Outbox:
    """Where each connected courier stands in the chain.

    Args:
        first_unacknowledged: sequence from which on some authority lacks reports.
    """

    def __init__(
        self, door: Clients, ledger: Reports, first_unacknowledged: Callable[[str], int]
    ) -> None:
        self._door = door
        self._ledger = ledger
        self._first = first_unacknowledged
        self._next: dict[int, int] = {}
        self._serves: dict[int, str] = {}

    def resend(self, client_id: int, authority: str, from_sequence: int) -> None:
        """Start again from a sequence; 0 means from what ``authority`` has not acknowledged."""
        self._next[client_id] = from_sequence or self._first(authority)
        self._serves[client_id] = authority

    def push(self, last_sequence: int) -> None:
        """Send what couriers have asked for and do not have yet.

        Raises:
            StorageError: the ledger cannot be read.
        """
        clients = self._door.clients
        self._next = {one: sequence for one, sequence in self._next.items() if one in clients}
        self._serves = {one: name for one, name in self._serves.items() if one in clients}
        for client_id, sequence in self._next.items():
            if sequence <= last_sequence:
                self._next[client_id] = self._send_from(client_id, sequence)

    def _send_from(self, client_id: int, sequence: int) -> int:
        for number, signed in self._ledger.reports(sequence, READ_REPORTS_MAX):
            _keep_roots_of(self._serves[client_id], signed)
            if not self._door.send(client_id, pb.FromGate(report=signed)):
                return number
            sequence = number + 1
        return sequence


def _keep_roots_of(authority: str, signed: pb.SignedReport) -> None:
    """What another authority signed is none of this one's business."""
    for place in reversed(range(len(signed.quoted_roots))):
        if pb.BatchRoot.FromString(signed.quoted_roots[place].payload).origin != authority:
            del signed.quoted_roots[place]
