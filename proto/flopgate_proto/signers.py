"""Who signs for an authority, by orders of its officers that anybody brings together.

For whoever holds statements of an authority and no book of its orders: an inspector, an operator,
another authority. Orders come from several hands, in any order, and some may be left out or made
up. So nothing is folded: a root counts because it was named by its digest, or follows the newest
of those that were; an order, because a root that counts let its officers sign it.

Whoever names an old root alone trusts its officers as they were: a quorum of them could sign a
root and a key of their own beside the true ones. Name the newest root that you know. What was
signed before it counts as far as the roots of that time are named, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from flopgate_proto.codec.payload_types import PayloadType
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ConfigError, MisdirectedError, OversizedError, PeerError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.trust import Trust, VerifiedOrder
from flopgate_proto.values.orders import Delegation, Reconciliation, Revocation

ROOTS_MAX: Final = 256
"""Most trust roots, as they are brought, that are looked at."""

_KINDS: Final = frozenset(
    {
        PayloadType.TRUST_ROOT,
        PayloadType.DELEGATION,
        PayloadType.REVOCATION,
        PayloadType.RECONCILIATION,
    }
)


def says_who_signs(envelope: Envelope) -> bool:
    """Whether it is of a kind that `signers_of` asks for."""
    return envelope.payload_type in _KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """What officers' orders say of one authority.

    Attributes:
        authority: its name; another one of that name has nothing here.
        roots: all of its trust roots that are here, those that count and what leads to them; the
            oldest first.
        keys: that officers ever let sign, by id.
        orders: the delegation of each, by key id.
        revoked: orders that revoke one of them, by key id.
        reconciled: the highest batch up to which officers signed that some were lost, 0 for none.
        reconciliation: that order.
    """

    authority: str
    roots: tuple[Envelope, ...]
    keys: dict[str, VerifyingKey]
    orders: dict[str, Envelope]
    revoked: dict[str, Envelope]
    reconciled: int = 0
    reconciliation: Envelope | None = None

    def proof(self, key_ids: Iterable[str]) -> list[Envelope]:
        """Orders by which whoever has the trust roots' digests finds these keys, each once."""
        found = list(self.roots)
        for key_id in sorted(set(key_ids)):
            found += [held[key_id] for held in (self.orders, self.revoked) if key_id in held]
        return found + ([] if self.reconciliation is None else [self.reconciliation])


def signers_of(envelopes: Iterable[Envelope], named: Sequence[bytes]) -> Signers:
    """Whom the officers of one authority let sign.

    Args:
        envelopes: statements from anywhere; what is no order of theirs is passed over.
        named: digests of trust roots of that authority, from another source than these.

    Raises:
        ConfigError: none is named.
        MisdirectedError: a root that is named is not here, or they are of several authorities.
        OversizedError: there are too many to look at.
    """
    # One digest may come with good and with bad signatures.
    statements = list(dict.fromkeys(one for one in envelopes if says_who_signs(one)))
    roots = [one for one in statements if one.payload_type == PayloadType.TRUST_ROOT]
    if len(roots) > ROOTS_MAX:
        raise OversizedError(
            f"{len(roots)} trust roots, at most {ROOTS_MAX} are looked at",
            code="trust-root.too-many",
            remedy="Bring files of fewer hosts, or leave out those of other authorities.",
        )
    reached = _reached(roots)
    counting = _counting(reached, roots, named)
    authority_id = counting[0].authority_id
    verified = _verified(statements, counting)
    keys: dict[str, VerifyingKey] = {}
    orders: dict[str, Envelope] = {}
    revoked: dict[str, Envelope] = {}
    newest: tuple[int, Envelope | None] = 0, None
    for one in verified:
        match one.order:
            case Delegation() as order:
                key = VerifyingKey(order.permit_spki)
                keys[key.key_id], orders[key.key_id] = key, one.envelope
            case Revocation() as order:
                revoked[order.key_digest.hex()] = one.envelope
            case Reconciliation() as order if order.batch_number > newest[0]:
                newest = order.batch_number, one.envelope
            case _:
                pass
    return Signers(
        authority=counting[0].authority,
        roots=tuple(one.envelope for one in _sorted(reached) if one.authority_id == authority_id),
        keys=keys,
        orders=orders,
        revoked=revoked,
        reconciled=newest[0],
        reconciliation=newest[1],
    )


def _reached(roots: Sequence[Envelope]) -> dict[bytes, Trust]:
    """Those that stand alone, and all that these lead to: of themselves they prove nothing."""
    return _followed([trust for root in roots if (trust := _alone(root)) is not None], roots)


def _counting(
    reached: Mapping[bytes, Trust], roots: Sequence[Envelope], named: Sequence[bytes]
) -> list[Trust]:
    """Roots that are named, and those that follow the newest of them; the oldest first."""
    if not named:
        raise ConfigError(
            "no trust root is named",
            code="trust-root.none",
            remedy="`flopgate-governor order trust` shows its digest: ask the authority for it.",
        )
    missing = [digest for digest in named if digest not in reached]
    if missing:
        raise MisdirectedError(
            f"no trust root {missing[0].hex()[:16]} is among these, or nothing leads to it",
            code="trust-root.pin",
            remedy="Ask the oversight body which root is right, and bring what one of its hosts, "
            "or itself, wrote.",
        )
    pinned = sorted((reached[one] for one in set(named)), key=lambda one: one.root.version)
    if len({trust.authority_id for trust in pinned}) > 1:
        raise MisdirectedError(
            "the trust roots that are named are of several authorities",
            code="trust-root.authority",
            remedy="Look at one authority at a time.",
        )
    found = {trust.digest: trust for trust in pinned} | _followed(pinned[-1:], roots)
    return _sorted(found)


def _sorted(found: Mapping[bytes, Trust]) -> list[Trust]:
    """The oldest first."""
    return sorted(found.values(), key=lambda one: (one.root.version, one.digest))


def _alone(root: Envelope) -> Trust | None:
    """By its own signatures; ``None``: these do not hold, or it cannot stand first."""
    with suppress(PeerError):
        return Trust.stored(root)
    return None


def _followed(starts: Sequence[Trust], roots: Sequence[Envelope]) -> dict[bytes, Trust]:
    """These, and all that their officers let follow."""
    found = {trust.digest: trust for trust in starts}
    left = list(found.values())
    while left:
        trust = left.pop()
        for root in roots:
            if root.digest in found:
                continue
            with suppress(PeerError):
                found[root.digest] = trust.successor(root)
                left.append(found[root.digest])
    return found


def _verified(statements: Iterable[Envelope], roots: Sequence[Trust]) -> list[VerifiedOrder]:
    """Those that officers of one of these roots signed."""
    found = [_under(roots, envelope) for envelope in statements]
    return [one for one in found if one is not None]


def _under(roots: Sequence[Trust], envelope: Envelope) -> VerifiedOrder | None:
    for trust in roots:
        with suppress(PeerError):
            return trust.verify(envelope)
    return None
