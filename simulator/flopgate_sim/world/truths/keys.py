"""Which online keys an authority's officers revoked, and what such a key signed afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Order, Revocation, TrustRoot
from flopgate_sim.world.truths.orders import by_quorum


@dataclass(slots=True)
class KeyTruth:
    """One authority.

    Attributes:
        revoked: ids of keys; a store that was put back may have forgotten some.
    """

    revoked: set[str] = field(default_factory=set)

    def ordered(self, envelope: Envelope, order: Order, root: TrustRoot) -> None:
        """An order was taken."""
        if isinstance(order, Revocation) and by_quorum(envelope, root):
            self.revoked.add(order.key_digest.hex())

    def misused(self, batch: pb.AnswerBatch, told: Collection[bytes]) -> Iterator[tuple[int, str]]:
        """New answers under a revoked key; what it signed before goes out again.

        ``told``: requests that were answered before.
        """
        (signature,) = batch.batch_root.signatures
        if signature.keyid not in self.revoked:
            return
        for leaf in batch.answers:
            if pb.Answer.FromString(leaf.payload).request_digest not in told:
                yield 7, f"an answer is signed by the revoked key {signature.keyid[:12]}"
