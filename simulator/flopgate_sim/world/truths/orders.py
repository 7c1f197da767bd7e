"""Who really signed, and when what loosens may come into force: the judge's own count."""

from __future__ import annotations

from flopgate_proto.envelope import Envelope, pae
from flopgate_proto.errors import ForgedError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.trust import ROLE_OF
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Policy, TrustRoot


def by_quorum(envelope: Envelope, root: TrustRoot) -> bool:
    """Whether enough different officers, who hold the role, signed exactly these bytes."""
    wanted = ROLE_OF[envelope.payload_type]
    role = next((one for one in root.roles if one.name == wanted), None)
    if role is None:
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
