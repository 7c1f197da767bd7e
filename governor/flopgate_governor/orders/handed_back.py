"""Orders that hosts hand back: a store put back from a backup lost what they still hold (law 6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flopgate_governor.orders.accepting import Accepted, accept_order
from flopgate_governor.state import State
from flopgate_proto.codec import PayloadType, envelope_from_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import OversizedError, PeerError
from flopgate_proto.limits import HELD_ORDERS_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

TAKEN_BACK: Final = frozenset(
    {
        PayloadType.TRUST_ROOT,
        PayloadType.PAUSE,
        PayloadType.CONFIRMATION,
        PayloadType.VETO,
        PayloadType.REVOCATION,
    }
)
"""What restrains, and the roots under which it was signed. Officers bring all else."""


def held_in(wires: Iterable[pb.SignedOrder]) -> list[Envelope]:
    """The orders of one message.

    Raises:
        PeerError: it cannot be parsed, or there are too many.
    """
    envelopes = [envelope_from_wire(one.envelope) for one in wires]
    if len(envelopes) > HELD_ORDERS_MAX:
        raise OversizedError(
            f"{len(envelopes)} orders handed back, at most {HELD_ORDERS_MAX} are taken",
            code="link.held-orders",
        )
    return envelopes


def take_back(state: State, envelopes: Iterable[Envelope]) -> list[Accepted]:
    """Take what is not on record; what does not hold now is left out.

    Raises:
        StorageError: the rest was not taken.
    """
    missing = [
        one
        for one in envelopes
        if one.payload_type in TAKEN_BACK and one.digest not in state.order_ids
    ]
    # An order that is due comes into force with whatever is accepted, but for a veto of it.
    missing.sort(key=lambda one: one.payload_type != PayloadType.VETO)
    taken = []
    # A veto may be of an officer whom only a root that comes after it names.
    for envelope in (*missing, *(one for one in missing if one.payload_type == PayloadType.VETO)):
        if envelope.digest in state.order_ids:
            continue
        try:
            taken.append(accept_order(state, envelope))
        except PeerError:
            continue
    return taken
