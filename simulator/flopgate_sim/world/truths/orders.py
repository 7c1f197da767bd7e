"""Who really signed, and when what loosens may come into force: the judge's own count."""

from __future__ import annotations

from dataclasses import dataclass, field

from flopgate_proto.codec import decode_order, encode_order
from flopgate_proto.envelope import Envelope, pae, statement_digest
from flopgate_proto.errors import ForgedError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.trust import ROLE_OF
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Order, Pause, Policy, TrustRoot


def by_quorum(envelope: Envelope, root: TrustRoot) -> bool:
    """Whether enough officers, who hold the role, signed exactly these bytes for this authority.

    ``root``: its first, by which the same officers' authorities of one name are told apart.
    """
    wanted = ROLE_OF[envelope.payload_type]
    role = next((one for one in root.roles if one.name == wanted), None)
    if role is None:
        return False
    order = decode_order(envelope.payload_type, envelope.payload)
    if order.authority_id != statement_digest(*encode_order(root)):
        return False
    officers = set()
    for index in role.keys:
        key = VerifyingKey(root.keys[index].spki)
        if any(_holds(envelope, key, one.key_id, one.sig) for one in envelope.signatures):
            officers.add(root.keys[index].name)
    return len(officers) >= role.threshold


def sender(envelope: pb.Envelope) -> bytes:
    """Host that a signature names: a key id is the host id in hexadecimal."""
    try:
        return bytes.fromhex(envelope.signatures[0].keyid)
    except (IndexError, ValueError):
        return b""


def signed_by(envelope: pb.Envelope, spki: bytes) -> bool:
    """Whether this key signed exactly these bytes."""
    key = VerifyingKey(spki)
    return any(_holds(envelope, key, one.keyid, one.sig) for one in envelope.signatures)


def _holds(
    envelope: Envelope | pb.Envelope, key: VerifyingKey, key_id: str, signature: bytes
) -> bool:
    if key_id != key.key_id:
        return False
    try:
        key.verify(signature, pae(envelope.payload_type, envelope.payload))
    except ForgedError:
        return False
    return True


def raised(old: Policy | None, new: Policy) -> bool:
    """Whether some cap rises or falls away."""
    if old is None:
        return False
    caps = {budget.scope: budget.cap_tflop for budget in new.budgets}
    return any(caps.get(b.scope) is None or caps[b.scope] > b.cap_tflop for b in old.budgets)


@dataclass(slots=True, kw_only=True)
class PauseTruth:
    """A pause that reached a gate.

    ``ends_us``: when a resume that waits comes into force, at the earliest.
    """

    pause: Pause
    came_us: int
    wind_down_ms: int
    drain_ms: int
    ends_us: int | None = None


@dataclass(slots=True)
class WaitingOrders:
    """What an authority took that is not in force yet, and what its officers vetoed.

    ``vetoed``: digests; whatever else officers sign later.
    """

    vetoed: set[bytes] = field(default_factory=set)
    _later: list[tuple[int, Order]] = field(default_factory=list)

    def add(self, due_unix_ms: int, order: Order) -> None:
        """It comes into force then."""
        self._later.append((due_unix_ms, order))

    def due(self, unix_ms: int) -> list[tuple[int, Order]]:
        """What is in force by now, with since when, each once."""
        due = [one for one in self._later if one[0] <= unix_ms]
        if due:
            self._later = [one for one in self._later if one[0] > unix_ms]
        return due

    def veto(self, ended: bytes) -> None:
        """An officer ends one."""
        self.vetoed.add(ended)
        self._later = [
            one for one in self._later if statement_digest(*encode_order(one[1])) != ended
        ]
