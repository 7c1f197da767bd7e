"""Officers' orders in force (law 6): a pure fold that gates and governors share.

* Trust roots, delegations, policies and seats only go up.
* A revoked key signs nothing that counts: neither an order nor, as an online key, an answer. No
  delegation revives it.
* Pauses are a set latched by digest. A resume lifts exactly the digests it lists; a lifted digest
  never latches again, whichever of the two came first.
* One officer pauses, at once. Wider than one cluster, one officer's pause must lapse within what
  policy says; a quorum (the threshold of the role ``resume``) may leave the lapse out. A lapse that
  was signed holds, whoever signed it, until a quorum confirms the pause.
* No officer fills the book alone: so many pauses of his stand, and so many vetoes of what did not
  wait are kept; the next is refused, and no other officer's is pushed out. Before a pause is
  refused, the one of his that lapsed first gives way: else lapsed ones are kept, for a host that
  was away counts their span anew, and a quorum can confirm them.
* What loosens waits as long as the policy says that is in force when it is accepted; meanwhile one
  officer's veto ends it for good. It is verified again when it comes into force.

Times are of whoever keeps the book, and what else the two sides do otherwise stands in `Side`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from flopgate_proto.codec.payload_types import PayloadType
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ForgedError, HistoryError, PeerError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.limits import (
    COUNT_MAX,
    ORDERS_WAITING_MAX,
    PAUSES_OF_ONE_MAX,
    VETOES_OF_ONE_MAX,
)
from flopgate_proto.loosening import InForce, loosened
from flopgate_proto.orders.held import DelegatedKey, Fallen, LatchedPause, Waiting, lapsed
from flopgate_proto.orders.works import NO_WORKS, Works
from flopgate_proto.trust import Trust, VerifiedOrder
from flopgate_proto.values.orders import (
    NARROW,
    Confirmation,
    Delegation,
    Pause,
    Policy,
    Registration,
    Resume,
    Revocation,
    Seats,
    TrustRoot,
    Veto,
)

PAUSE_LAPSE_MS: Final = 72 * 3600 * 1000
"""Longest lapse of one officer's wide pause where no policy says otherwise."""

FALLEN_KEPT: Final = 64
DELEGATIONS_KEPT: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Where a gate and a governor differ.

    Attributes:
        lapse_ms: longest lapse of one officer's wide pause before any policy. A gate that joins
            hears of older pauses before the policy of today, and knows none of those between.
        follows: an order that only a root which waits lets hold is taken, and waits with it. A
            gate's authority counts the delay by its own clock: its new root may rule there already.
    """

    lapse_ms: int
    follows: bool


GOVERNOR: Final = Side(lapse_ms=PAUSE_LAPSE_MS, follows=False)
GATE: Final = Side(lapse_ms=COUNT_MAX, follows=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBook:
    """What officers of one authority ordered, as far as it is in force.

    Attributes:
        policy_since_ms: when the policy in force was accepted.
        pauses: the widest first.
        delegated: keys that were ever let sign, the newest last, each once.
        seats: which authorities have a say; ``None``: all.
        waiting: what loosens and is not in force yet, in the order in which it was accepted.
        fallen: the newest that waited and never came into force.
        unseen: of each veto that ended nothing which waited, the officers who signed it.
        works: registered workloads; a gate is told of none.
    """

    side: Side
    trust: Trust
    policy: Policy | None = None
    policy_order: VerifiedOrder | None = None
    policy_since_ms: int = 0
    delegated: tuple[DelegatedKey, ...] = ()
    pauses: tuple[LatchedPause, ...] = ()
    lifted: frozenset[bytes] = frozenset()
    confirmed: frozenset[bytes] = frozenset()
    vetoed: frozenset[bytes] = frozenset()
    seats: Seats | None = None
    waiting: tuple[Waiting, ...] = ()
    fallen: tuple[Fallen, ...] = ()
    works: Works = NO_WORKS
    unseen: tuple[frozenset[str], ...] = ()

    @property
    def policy_version(self) -> int:
        """Version in force, 0 before the first."""
        return 0 if self.policy is None else self.policy.version

    @property
    def policy_digest(self) -> bytes:
        """Of the policy in force, empty before the first."""
        return b"" if self.policy_order is None else self.policy_order.digest

    @property
    def in_force(self) -> InForce:
        """What a new order is compared with."""
        revoked = self.trust.revoked
        return InForce(
            trust=self.trust,
            policy=self.policy,
            seats=self.seats,
            suspected=frozenset(held.digest for held in self.pauses if held.suspected(revoked)),
            registered=self.works.by_name,
        )

    @property
    def online(self) -> dict[str, VerifyingKey]:
        """Keys that were ever let sign, revoked or not, by id."""
        return {held.key.key_id: held.key for held in self.delegated}

    @property
    def due_ms(self) -> int | None:
        """When the next order comes into force; ``None`` where none waits."""
        return min((held.due_ms for held in self.waiting), default=None)

    def waits(self, digest: bytes) -> Waiting | None:
        """The order of this digest, if it waits."""
        return next((held for held in self.waiting if held.digest == digest), None)

    def accept(self, envelope: Envelope, now_ms: int, *, fresh: bool = False) -> Accepted:
        """The book with one more order, and all that came into force by it and by now.

        Args:
            envelope: the order.
            now_ms: when it is accepted.
            fresh: nothing runs yet that could be loosened: it counts as accepted one delay ago.

        Raises:
            PeerError: signatures, authority or history do not allow it; the detail says why.
        """
        # A veto is in time until somebody acted on what is due.
        veto = envelope.payload_type == PayloadType.VETO
        book, came = (self, ()) if veto else self.ripe(now_ms)
        verified, root_due_ms = book.verify(envelope)
        book.check_vetoed(verified.digest)
        now = book.in_force
        why = loosened(verified.order, now)
        delay_ms = now.delay_ms if why else 0
        since_ms = now_ms - delay_ms if fresh else now_ms
        due_ms = since_ms + delay_ms
        if root_due_ms is None:
            # In force or not: what could not come into force now is refused now.
            applied = book.apply(verified, since_ms)
            if due_ms <= now_ms:
                return Accepted(book=applied, came=(*came, verified), since_ms=since_ms)
        else:
            due_ms = max(due_ms, root_due_ms)
        if len(book.waiting) >= ORDERS_WAITING_MAX:
            raise HistoryError(
                f"{len(book.waiting)} orders wait already",
                code="order.waiting",
                remedy="Wait for one of them, or veto one.",
            )
        held = Waiting(verified=verified, since_ms=since_ms, due_ms=due_ms, why=why)
        book = replace(book, waiting=(*book.waiting, held))
        return Accepted(book=book, came=came, since_ms=since_ms)

    def check_vetoed(self, digest: bytes) -> None:
        """Refuse an order that an officer vetoed; an approval of licenses is in no book but is one.

        Raises:
            HistoryError: it was.
        """
        if digest in self.vetoed:
            raise HistoryError(
                f"order {digest.hex()[:16]} was vetoed",
                code="order.vetoed",
                remedy="Officers sign another one, once they agree.",
            )

    def ripe(self, now_ms: int) -> tuple[OrderBook, tuple[VerifiedOrder, ...]]:
        """The book at this time, and what came into force: what waited long enough."""
        book = self
        came: list[VerifiedOrder] = []
        while due := [held for held in book.waiting if held.due_ms <= now_ms]:
            held = min(due, key=lambda one: one.due_ms)
            book = replace(book, waiting=tuple(one for one in book.waiting if one is not held))
            try:
                # Its officers may have lost their say while it waited.
                verified = book.trust.verify(held.envelope)
                book = book.apply(verified, held.since_ms)
            except PeerError as error:
                book = book.let_fall(held.digest, error.code, error.detail)
            else:
                came.append(verified)
        return book, tuple(came)

    def let_fall(self, digest: bytes, code: str, detail: str) -> OrderBook:
        """The book that remembers an order which waited and will never come into force."""
        fallen = Fallen(digest=digest, code=code, detail=detail)
        return replace(self, fallen=(*self.fallen, fallen)[-FALLEN_KEPT:])

    def apply(self, verified: VerifiedOrder, since_ms: int) -> OrderBook:
        """The book with a verified order in force; its spans count from ``since_ms``.

        Raises:
            PeerError: history does not allow it.
        """
        order = verified.order
        match order:
            case TrustRoot():
                return replace(self, trust=self.trust.successor(verified.envelope))
            case Revocation():
                return replace(self, trust=self.trust.without(order.key_digest.hex()))
            case Delegation():
                return self._take_delegation(order, verified, since_ms)
            case Policy():
                _check_above("policy version", order.version, self.policy_version)
                return replace(
                    self,
                    policy=order,
                    policy_order=verified,
                    policy_since_ms=since_ms,
                )
            case Seats():
                held = 0 if self.seats is None else self.seats.version
                _check_above("version of the seats", order.version, held)
                return replace(self, seats=order)
            case Pause():
                return self._take_pause(order, verified, since_ms)
            case Resume():
                return self._take_resume(order)
            case Confirmation():
                return self._take_confirmation(order)
            case Veto():
                return self._take_veto(order, verified)
            case Registration():
                return replace(self, works=self.works.registered(order))
            case _:
                # What only a governor acts on.
                return self

    def verify(self, envelope: Envelope) -> tuple[VerifiedOrder, int | None]:
        """An order that holds; with the time of the root, where only one that waits lets it.

        Raises:
            PeerError: it does not hold.
        """
        try:
            return self.trust.verify(envelope), None
        except ForgedError:
            roots = [self.trust] if self.side.follows else []
            for held in self.waiting:
                known = roots if isinstance(held.verified.order, TrustRoot) else []
                for before in tuple(known):
                    with suppress(PeerError):
                        roots.append(before.successor(held.envelope))
                        return roots[-1].verify(envelope), held.due_ms
            raise

    def _take_delegation(
        self, order: Delegation, verified: VerifiedOrder, since_ms: int
    ) -> OrderBook:
        if self.delegated:
            _check_above("delegation serial", order.serial, self.delegated[-1].delegation.serial)
        key = VerifyingKey(order.permit_spki)
        if key.key_id in self.trust.revoked:
            raise HistoryError(
                f"key {key.key_id[:16]} was revoked, and no delegation revives it",
                code="delegation.revoked",
                remedy="Make a new key, and let officers delegate that one.",
            )
        new = DelegatedKey(
            key=key,
            delegation=order,
            envelope=verified.envelope,
            since_ms=since_ms,
        )
        others = [one for one in self.delegated if one.key.key_id != new.key.key_id]
        return replace(self, delegated=(*others, new)[-DELEGATIONS_KEPT:])

    def _take_pause(self, pause: Pause, verified: VerifiedOrder, since_ms: int) -> OrderBook:
        longest_ms = self.side.lapse_ms if self.policy is None else self.policy.pause_lapse_ms
        bounded = pause.lapse_ms is not None and pause.lapse_ms <= longest_ms
        narrow = pause.scope.kind in NARROW
        if not (bounded or narrow or self.trust.fills("resume", verified.signers)):
            raise ForgedError(
                f"pause of {pause.scope} by one officer lapses after {pause.lapse_ms} ms, "
                f"at most {longest_ms} are allowed without a quorum",
                code="pause.lapse",
                remedy="Set a lapse, or let a quorum sign.",
            )
        known = any(held.digest == verified.digest for held in self.pauses)
        if known or verified.digest in self.lifted:
            return self
        standing = self.pauses
        if not self.trust.fills("resume", verified.signers):
            standing = self._with_room(self.trust.officers(verified.signers), since_ms)
        latched = LatchedPause(
            pause=pause,
            digest=verified.digest,
            envelope=verified.envelope,
            since_ms=since_ms,
            confirmed=verified.digest in self.confirmed,
            signers=verified.signers,
        )
        # Widest first: an answer names at most so many, and the widest must be among them.
        pauses = sorted((*standing, latched), key=lambda held: held.pause.scope.kind)
        return replace(self, pauses=tuple(pauses))

    def _with_room(self, officers: frozenset[str], now_ms: int) -> tuple[LatchedPause, ...]:
        """The pauses with room for one more of these officers: one that lapsed gives way."""
        theirs = [held for held in self.pauses if self.trust.officers(held.signers) == officers]
        if len(theirs) < PAUSES_OF_ONE_MAX:
            return self.pauses
        over = [held for held in theirs if lapsed(held, now_ms)]
        _check_room(officers, len(theirs) - len(over), len(theirs), "pauses stand")
        first = min(over, key=lambda held: held.since_ms + (held.lapse_ms or 0))
        return tuple(held for held in self.pauses if held is not first)

    def _take_resume(self, order: Resume) -> OrderBook:
        lifts = frozenset(order.lifts)
        return replace(
            self,
            pauses=tuple(held for held in self.pauses if held.digest not in lifts),
            lifted=self.lifted | lifts,
        )

    def _take_confirmation(self, order: Confirmation) -> OrderBook:
        confirmed = self.confirmed | set(order.pauses)
        pauses = tuple(
            replace(held, confirmed=held.confirmed or held.digest in confirmed)
            for held in self.pauses
        )
        return replace(self, confirmed=confirmed, pauses=pauses)

    def _take_veto(self, order: Veto, verified: VerifiedOrder) -> OrderBook:
        """Ends an order that waits, or one that has not come yet."""
        held = self.waits(order.order_digest)
        waiting = tuple(one for one in self.waiting if one is not held)
        book = replace(self, waiting=waiting, vetoed=self.vetoed | {order.order_digest})
        officers = self.trust.officers(verified.signers)
        if held is None:
            # Of what waits as many as a quorum signs; of what nobody knows, any number.
            count = self.unseen.count(officers)
            _check_room(officers, count, VETOES_OF_ONE_MAX, "vetoes ended nothing that waited")
            return replace(book, unseen=(*self.unseen, officers))
        officer = ", ".join(sorted(officers))
        return book.let_fall(order.order_digest, "order.vetoed", f"{officer}: {order.reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A book that took an order, whose spans count from ``since_ms``; and what came into force."""

    book: OrderBook
    came: tuple[VerifiedOrder, ...]
    since_ms: int


def _check_room(officers: frozenset[str], count: int, most: int, what: str) -> None:
    """No officer fills the book; none pushes out what another ordered."""
    if count >= most:
        raise HistoryError(
            f"{count} {what} of {', '.join(sorted(officers))}",
            code="order.too-many",
            remedy="A quorum lifts some, or signs this one; or another officer does.",
        )


def _check_above(name: str, new: int, held: int) -> None:
    if new <= held:
        raise HistoryError(
            f"{name} {new}, {held} is in force",
            code="order.version",
            remedy=f"Sign one above {held}.",
        )
