"""What the officers of one authority ordered, as this gate holds it (law 6).

The rules are `flopgate_proto.orders`, in gate running time: the gate counts for itself, so that no
online key can shorten a delay. Before the authority admits this host there is nothing to loosen:
what the admission names is in force at once, as if it had been seen one delay ago.

Whatever the courier brings, a policy makes nothing looser before a signed statement of the
authority named it as in force: it may have been vetoed, or wait there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from flopgate_proto.amounts import span_text
from flopgate_proto.codec import PayloadType
from flopgate_proto.envelope import Envelope, verify
from flopgate_proto.errors import ForgedError, PeerError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.limits import HELD_ORDERS_MAX
from flopgate_proto.orders.book import GATE, OrderBook
from flopgate_proto.orders.held import DelegatedKey, LatchedPause, Waiting, lapsed
from flopgate_proto.quick import quick
from flopgate_proto.trust import Trust, VerifiedOrder
from flopgate_proto.values import LicenseApproval, Policy, Scope, ScopeKind, Seats, Standing

DELEGATE: Final = (
    "Officers of the authority run `flopgate-governor delegate`; the courier brings it."
)
"""The way back where no key may sign any more."""


RESTRAINING: Final = frozenset(
    {
        PayloadType.TRUST_ROOT,
        PayloadType.PAUSE,
        PayloadType.CONFIRMATION,
        PayloadType.VETO,
        PayloadType.REVOCATION,
    }
)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPolicy:
    """A policy that was in force here when a signed statement named it, seen first at that time."""

    policy: Policy
    digest: bytes
    seen_running_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What an order that was new brought.

    Attributes:
        first_seen_running_ms: gate running time from which its spans count.
        waits: it loosens, and comes into force later, unless it is vetoed; else ``None``.
        came: all that came into force by now.
    """

    first_seen_running_ms: int
    waits: Waiting | None
    came: tuple[VerifiedOrder, ...]


class OfficerOrders:
    """Orders of one authority; changes only through verified ones, and with time.

    What the book of orders says is asked at each step, and the book changes by orders alone: it
    is put here when it does.

    Attributes:
        admitted: whether the authority admitted this host.
        orders: in force and waiting; ``None`` before the first trust root.
        policy: in force; ``None`` before the first.
        policy_seen_running_ms: gate running time at which that policy was first seen.
        seats: which authorities have a say, as far as this one is asked; ``None``: all.
        pauses: latched; some may have lapsed.
        seen_pauses: digests of pauses that are latched here or were lifted.
        due_running_ms: gate running time at which the next order comes into force, if one waits.
        waiting_policies: policies that officers signed and that are not in force yet.
        known_version: newest policy that this gate knows, in force or not: 0 for none.
        unseen_pauses: digests that an answer names, of pauses that have not arrived.
        named_policy: the newest that was in force here and that the authority named.
        named_roots: trust roots that the join token names beside the first: until the admission no
            other one is taken, for nothing that a new host holds would say that it was vetoed.
    """

    def __init__(self, name: str, *, admitted: bool) -> None:
        self.name = name
        self.admitted = admitted
        self.orders: OrderBook | None = None
        self.policy: Policy | None = None
        self.policy_seen_running_ms = 0
        self.seats: Seats | None = None
        self.pauses: tuple[LatchedPause, ...] = ()
        self.seen_pauses: frozenset[bytes] = frozenset()
        self.due_running_ms: int | None = None
        self.waiting_policies: tuple[Policy, ...] = ()
        self.known_version = 0
        self._delegated: tuple[DelegatedKey, ...] = ()
        self._revoked: frozenset[str] = frozenset()
        self.scopes: frozenset[Scope] = frozenset()
        self.unseen_pauses: frozenset[bytes] = frozenset()
        self.named_policy: NamedPolicy | None = None
        self.named_roots: frozenset[bytes] = frozenset()
        self._said_policy = b""
        self._known: set[bytes] = set()
        self._restraining: list[Envelope] = []

    # ------------------------------------------------------------------ what comes in

    def pin_if_first(self, envelope: Envelope, digest: bytes) -> bool:
        """Take the first trust root by its pinned digest; whether it was taken."""
        if self.orders is not None:
            return False
        trust = Trust.pinned(envelope, digest)
        if trust.authority != self.name:
            raise ForgedError(
                f"trust root of {trust.authority!r} where {self.name!r} was joined",
                code="trust-root.authority",
            )
        self._begin(trust)
        return True

    def restore(self, envelope: Envelope, first_seen_running_ms: int) -> None:
        """An order that was accepted before; in the order in which they were."""
        if self.orders is None:
            self._begin(Trust.stored(envelope))
            return
        # A policy that came into force before this order may have been named before it came.
        self.ripe(first_seen_running_ms)
        self._accept(self._orders(), envelope, first_seen_running_ms, fresh=False)

    def _begin(self, trust: Trust) -> None:
        self._hold(OrderBook(side=GATE, trust=trust))
        self._known.add(trust.digest)

    def accept(self, envelope: Envelope, running_ms: int, *, fresh: bool = False) -> Taken | None:
        """Verify an order and put it in force or let it wait; ``None``: nothing changes by it.

        What is known was fully verified when it came first, under the root of that day. A policy
        that would wait before the admission is told again on the link: the courier, who says so,
        could make the one in force wait and keep the host out. ``fresh``: this host is not admitted
        yet, and the order is not known to wait.

        Raises:
            PeerError: it does not hold; nothing has changed.
        """
        orders = self._orders()
        if envelope.digest in self._known:
            return None
        if not self.admitted and self.is_unnamed(envelope):
            raise unnamed_root(self.name)
        if not self.admitted and envelope.payload_type == PayloadType.POLICY:
            would = orders.accept(envelope, running_ms, fresh=fresh)
            if would.book.waits(envelope.digest) is not None:
                return None
        return self._accept(orders, envelope, running_ms, fresh=fresh)

    def is_unnamed(self, envelope: Envelope) -> bool:
        """Whether this is a trust root that the join token does not name."""
        known = envelope.digest in self.named_roots or envelope.digest in self._known
        return envelope.payload_type == PayloadType.TRUST_ROOT and not known

    def _accept(
        self, orders: OrderBook, envelope: Envelope, running_ms: int, *, fresh: bool
    ) -> Taken:
        accepted = orders.accept(envelope, running_ms, fresh=fresh)
        self._hold(accepted.book)
        self._known.add(envelope.digest)
        if envelope.payload_type in RESTRAINING:
            self._restraining.append(envelope)
        self._changed()
        return Taken(
            first_seen_running_ms=accepted.since_ms,
            waits=accepted.book.waits(envelope.digest),
            came=accepted.came,
        )

    def held_orders(self, running_ms: int) -> list[Envelope]:
        """What restrains and must not be lost: an authority put back from a backup may lack it.

        The newest of each who signed, as they came: nobody pushes out another's by many of his own.
        Trust roots too, under which they were signed.
        """
        if not self._restraining:
            return []
        standing = {held.digest for held in self.pauses if not lapsed(held, running_ms)}
        self._restraining = [
            one
            for one in self._restraining
            if one.payload_type != PayloadType.PAUSE or one.digest in standing
        ]
        trust = self._orders().trust
        newer, ranked = Counter[frozenset[str]](), list[tuple[int, int]]()
        for back, one in enumerate(reversed(self._restraining), start=1):
            # Whoever signs can add what looks like others' signatures, of the root's keys alone.
            signers = trust.officers(signature.key_id for signature in one.signatures)
            ranked.append((newer[signers], back))
            newer[signers] += 1
        kept = sorted((back for _, back in sorted(ranked)[:HELD_ORDERS_MAX]), reverse=True)
        return [self._restraining[-back] for back in kept]

    def ripe(self, running_ms: int) -> tuple[VerifiedOrder, ...]:
        """Put in force what waited long enough by now; what came into force."""
        if self.orders is None or not self.orders.waiting:
            return ()
        book, came = self.orders.ripe(running_ms)
        self._hold(book)
        self._changed()
        return came

    def _hold(self, book: OrderBook) -> None:
        self.orders = book
        self.policy, self.policy_seen_running_ms = book.policy, book.policy_since_ms
        self.seats, self.pauses = book.seats, book.pauses
        online = {one.key.key_id for one in book.delegated}
        self._revoked = book.trust.revoked & online
        self._delegated = tuple(
            [one for one in book.delegated if one.key.key_id not in self._revoked]
        )
        self.seen_pauses = book.lifted.union([held.digest for held in book.pauses])
        self.due_running_ms = book.due_ms
        waiting = [held.verified.order for held in book.waiting]
        self.waiting_policies = tuple([one for one in waiting if isinstance(one, Policy)])
        known = [one.version for one in (book.policy, *self.waiting_policies) if one is not None]
        self.known_version = max(known, default=0)

    def note_policy(self, digest: bytes) -> None:
        """A signed statement of the authority names the policy that is in force there."""
        self._said_policy = digest
        self._changed()

    def _changed(self) -> None:
        self.unseen_pauses -= self.seen_pauses
        if self.orders is None or self.policy is None:
            return
        known = self.named_policy is not None and self.named_policy.policy is self.policy
        if not known and self.orders.policy_digest == self._said_policy:
            self.named_policy = NamedPolicy(
                policy=self.policy,
                digest=self._said_policy,
                seen_running_ms=self.policy_seen_running_ms,
            )

    def _orders(self) -> OrderBook:
        if self.orders is None:
            raise ForgedError(
                f"no trust root of {self.name!r} yet",
                code="order.no-trust",
                remedy="Join this authority first.",
            )
        return self.orders

    # ------------------------------------------------------------------ what holds now

    @property
    def named_digest(self) -> bytes:
        """Of the policy that was named; empty before the first."""
        return b"" if self.named_policy is None else self.named_policy.digest

    def keeps_say_of(self, name: str) -> bool:
        """Whether this authority wants that one (or itself) to have a say."""
        seats = () if self.seats is None else self.seats.seats
        standings = {seat.authority: seat.standing for seat in seats}
        return standings.get(name, Standing.REQUIRED) is Standing.REQUIRED

    def keys_in_force(self, running_ms: int) -> dict[str, VerifyingKey]:
        """Permit keys that nobody revoked, whose delegation runs and whose least policy is met."""
        version = self.known_version
        return {
            entry.key.key_id: entry.key
            for entry in self._delegated
            if running_ms < entry.until_ms and version >= entry.delegation.least_policy_version
        }

    def signs_no_more(self, running_ms: int) -> str:
        """Why no key that officers once let sign still may, as a stable id; else empty."""
        spans = [entry.until_ms for entry in self._delegated]
        if spans:
            return "delegation.expired" if running_ms >= max(spans) else ""
        return "delegation.revoked" if self._revoked else ""

    def is_revoked(self, signers: frozenset[str]) -> bool:
        """Whether all of these online keys were revoked."""
        return signers <= self._revoked

    def signers_of(self, root: Envelope) -> frozenset[str]:
        """Online keys, in force or not, that signed a root which was taken before."""
        keys = {} if self.orders is None else self.orders.online
        try:
            return verify(root, PayloadType.BATCH_ROOT, keys).signers
        except PeerError:
            return frozenset()

    def check_approval(self, envelope: Envelope) -> tuple[LicenseApproval, bytes]:
        """Officers of the role for it approved licenses; what they signed, and its digest.

        Raises:
            PeerError: it does not hold, is another order, or was vetoed.
        """
        book = self._orders()
        verified = book.trust.verify(envelope)
        book.check_vetoed(verified.digest)
        if not isinstance(verified.order, LicenseApproval):
            raise ForgedError(
                "no approval of licenses that holds now",
                code="license.approval",
                remedy="Take the license file as the authority made it.",
            )
        return verified.order, verified.digest

    def check_delegated(self, envelope: Envelope, running_ms: int) -> dict[str, VerifyingKey]:
        """`keys_in_force`; or say why a key that officers once let sign does not count now.

        Signatures are not checked here: who else signed is told by the check that follows.

        Raises:
            ForgedError: all that signed, of keys ever delegated, are out of force.
        """
        keys = self.keys_in_force(running_ms)
        signed = [signature.key_id for signature in envelope.signatures]
        if not keys.keys().isdisjoint(signed):
            return keys
        known = [entry for entry in self._delegated if entry.key.key_id in signed]
        if not known:
            revoked = next((key_id for key_id in signed if key_id in self._revoked), None)
            if revoked is None:
                return keys
            raise ForgedError(
                f"the officers of {self.name!r} revoked key {revoked[:16]}, which signed this",
                code="delegation.revoked",
                remedy="Its governor goes on with the key that they delegate; what the revoked one "
                "signed is made anew.",
            )
        ago_ms = running_ms - max(entry.until_ms for entry in known)
        if ago_ms >= 0:
            raise ForgedError(
                f"the delegation of {self.name!r} expired {span_text(ago_ms, 's')} of gate running "
                "time ago",
                code="delegation.expired",
                remedy=DELEGATE,
            )
        least = min(entry.delegation.least_policy_version for entry in known)
        raise ForgedError(
            f"the delegation of {self.name!r} asks for policy version {least}, "
            f"{self.policy.version if self.policy else 'none'} is in force",
            code="delegation.policy",
            remedy="The courier fetches the newer policy; if it stays away, see the courier's log.",
        )

    def pause_of(self, workload: str, running_ms: int) -> LatchedPause | None:
        """The first pause in force that covers a lane of this host; emergencies first."""
        if not self.pauses:
            return None
        mine = self.scopes | {
            Scope(ScopeKind.EVERYTHING),
            Scope(ScopeKind.WORKLOAD, workload),
        }
        found = [
            latched
            for latched in self.pauses
            if latched.pause.scope in mine and not lapsed(latched, running_ms)
        ]
        return min(found, key=lambda latched: not latched.pause.emergency, default=None)


def unnamed_root(authority: str) -> ForgedError:
    """Before the admission: a trust root that the join token does not name, or the lack of one."""
    return ForgedError(
        f"the join token does not name the trust root that {authority!r} is said to have",
        code="admission.trust-root",
        remedy="Where officers changed it since the token was made, make a new token and join "
        "again. Else the courier brings what is not in force.",
    )
