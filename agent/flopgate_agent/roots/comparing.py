"""Whether the batches that an authority signed for several hosts stand in one history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from flopgate_proto.codec import PayloadType, decode_batch_root
from flopgate_proto.envelope import Envelope, verify
from flopgate_proto.errors import PeerError
from flopgate_proto.files import KeptRoots
from flopgate_proto.histories import Contradiction, SignedRoot, contradictions
from flopgate_proto.signers import Signers, signers_of

SHOWN_MAX: Final = 16
"""Contradictions that are told and become evidence; of the others their number is."""


@dataclass(slots=True, kw_only=True)
class Compared:
    """What was compared, and found.

    Attributes:
        signers: of the authority.
        roots: whose signature holds, by digest.
        holders: who holds each, by digest.
        unverified: how many roots that name the authority nobody let sign, or nobody signed.
        others: how many are of other authorities.
        found: what no reconciliation explains.
        reconciled: how much else there is, which one does.
    """

    signers: Signers
    roots: dict[bytes, SignedRoot] = field(default_factory=dict)
    holders: dict[bytes, list[str]] = field(default_factory=dict)
    unverified: int = 0
    others: int = 0
    found: list[Contradiction] = field(default_factory=list)
    reconciled: int = 0

    @property
    def hosts(self) -> int:
        """How many hold any that was compared."""
        return len({one for held in self.holders.values() for one in held})

    @property
    def in_row(self) -> int:
        """How many stand beside the one before them: the more, the less can be hidden."""
        return sum(one.batch.previous in self.roots for one in self.roots.values())

    @property
    def told(self) -> Sequence[Contradiction]:
        """Those that are shown."""
        return self.found[:SHOWN_MAX]

    def evidence(self) -> Iterator[KeptRoots]:
        """What proves those that are shown, to whoever knows the trust root."""
        of: dict[str, dict[bytes, Envelope]] = {}
        key_ids = {root.key_id for one in self.told for root in one.roots}
        for one in self.told:
            for root in one.roots:
                for held_by in self.holders[root.digest][:1]:
                    of.setdefault(held_by, {})[root.digest] = root.envelope
        orders = tuple(self.signers.proof(key_ids))
        for held_by, roots in sorted(of.items()):
            yield KeptRoots(held_by=held_by, orders=orders, roots=tuple(roots.values()))
            orders = ()


def compared(kept: Iterable[KeptRoots], named: Sequence[bytes]) -> Compared:
    """Hold all roots of one authority against each other.

    Args:
        kept: by hosts; nothing in it is trusted.
        named: digests of trust roots of the authority.

    Raises:
        ConfigError, PeerError: as `signers_of`.
    """
    held: dict[Envelope, list[str]] = {}
    orders: dict[Envelope, None] = {}
    for one in kept:
        orders |= dict.fromkeys(one.orders)
        for envelope in one.roots:
            held.setdefault(envelope, []).append(one.held_by)
    result = Compared(signers=signers_of(orders, named))
    for envelope, holders in held.items():
        _take(result, envelope, holders)
    for contradiction in contradictions(result.roots.values()):
        if contradiction.is_reconciled(result.signers.reconciled):
            result.reconciled += 1
        else:
            result.found.append(contradiction)
    return result


def _take(result: Compared, envelope: Envelope, holders: list[str]) -> None:
    try:
        # Before its signature: only to tell whose it would be.
        batch = decode_batch_root(envelope.payload)
    except PeerError:
        result.unverified += 1
        return
    if batch.origin != result.signers.authority:
        result.others += 1
        return
    try:
        verified = verify(envelope, PayloadType.BATCH_ROOT, result.signers.keys)
    except PeerError:
        result.unverified += 1
        return
    result.holders.setdefault(verified.digest, []).extend(holders)
    result.roots[verified.digest] = SignedRoot(
        digest=verified.digest, batch=batch, envelope=envelope, key_id=min(verified.signers)
    )
