"""Orders in force (law 6): a fold over the orders that were accepted, in log order.

* Trust roots, delegations and policies only go up.
* Pauses are a set latched by digest. A resume lifts exactly the digests it lists; a lifted digest
  never latches again, whichever of the two came first.
* One officer pauses, at once. Wider than one cluster, one officer's pause must lapse within what
  policy says; a quorum (the threshold of the role ``resume``) may leave the lapse out.
* A lapse counts gate running time, but never runs faster than our own clock: hosts tell that time.
* After a rollback only a quorum's reconciliation lets grants flow again, and only once the grants
  that were lost have run out.
* What loosens waits as long as the policy says that is in force when it is accepted; meanwhile one
  officer's veto ends it for good. It is verified again when it comes into force.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from flopgate_governor.core.clusters import fenced
from flopgate_governor.core.pauses import LatchedPause
from flopgate_governor.core.quotes import AHEAD_MAX, Numbering
from flopgate_governor.core.waiting import Fallen, Waiting
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ForgedError, HistoryError, PeerError
from flopgate_proto.limits import COUNT_MAX, ORDERS_WAITING_MAX
from flopgate_proto.loosening import InForce, loosened
from flopgate_proto.trust import Trust, VerifiedOrder
from flopgate_proto.values.common import ScopeKind
from flopgate_proto.values.orders import (
    NARROW,
    Adoption,
    Closure,
    ClusterRuling,
    Confirmation,
    Delegation,
    Order,
    Pause,
    Policy,
    Reconciliation,
    Relief,
    Resume,
    Revocation,
    Seats,
    TrustRoot,
    Veto,
)

PAUSE_LAPSE_MS: Final = 72 * 3600 * 1000
"""Longest lapse of one officer's wide pause where no policy says otherwise."""

FALLEN_KEPT: Final = 64

RESUMES_KEPT: Final = 1_024
"""Newest resumes that are told to hosts again: one that was away still holds what they lift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """A rollback of this governor (law 4).

    Attributes:
        own_batch: highest batch that is certainly ours: it stood in the store when this process
            opened it, and below the first unknown one that was quoted.
        quoted_batch: highest unknown batch number that a host quoted.
        host_id: which host did.
    """

    own_batch: int
    quoted_batch: int
    host_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBook:
    """What officers ordered, as far as it is in force.

    Attributes:
        reconciled_unix_ms: our own time of the newest reconciliation.
        ahead: how far, at most, reconciled numbers lay above it.
        waiting: what loosens and is not in force yet, in the order in which it was accepted.
        fallen: the newest that waited and never came into force.
        ruled: adoptions, closures and reliefs in force: what they do stands in the store.
        told: envelopes of vetoes, confirmations, revocations and seats, for hosts.
        cluster_rulings: in the order in which they came into force.
    """

    trust: Trust
    roots: tuple[Envelope, ...]
    delegation: VerifiedOrder | None = None
    policy: Policy | None = None
    policy_envelope: Envelope | None = None
    pauses: tuple[LatchedPause, ...] = ()
    lifted: frozenset[bytes] = frozenset()
    resumes: tuple[Envelope, ...] = ()
    halt: Halt | None = None
    lost: tuple[tuple[int, int], ...] = ()
    reconciled_unix_ms: int | None = None
    ahead: int = 0
    waiting: tuple[Waiting, ...] = ()
    fallen: tuple[Fallen, ...] = ()
    vetoed: frozenset[bytes] = frozenset()
    confirmed: frozenset[bytes] = frozenset()
    seats: Seats | None = None
    ruled: tuple[VerifiedOrder, ...] = ()
    told: tuple[Envelope, ...] = ()
    cluster_rulings: tuple[VerifiedOrder, ...] = ()

    @classmethod
    def first(cls, root: Envelope) -> OrderBook:
        """The book that an accepted first trust root opens."""
        return cls(trust=Trust.stored(root), roots=(root,))

    @property
    def authority(self) -> str:
        """Name of the authority."""
        return self.trust.authority

    @property
    def permit_spki(self) -> bytes:
        """Key that officers let sign answers; empty without a delegation that policy satisfies."""
        order = self.delegation.order if self.delegation is not None else None
        if not isinstance(order, Delegation):
            return b""
        version = 0 if self.policy is None else self.policy.version
        return order.permit_spki if version >= order.least_policy_version else b""

    @property
    def least_batch(self) -> int:
        """Batches are numbered above this: reconciled numbers are never used again."""
        return max((upto for _, upto in self.lost), default=0)

    def numbering(self, unix_ms: int, ours: frozenset[int] = frozenset()) -> Numbering:
        """Our own batches, as quotes of some numbers are judged by them now."""
        return Numbering(
            reach=unix_ms + AHEAD_MAX,
            lost=self.lost,
            ours=ours,
            sure=None if self.halt is None else self.halt.own_batch,
        )

    def halted(self, shown: Halt) -> OrderBook:
        """The book after a host quoted a batch that we do not know; the highest quote counts."""
        halt = shown if self.halt is None else replace(shown, own_batch=self.halt.own_batch)
        if self.halt is not None and self.halt.quoted_batch >= halt.quoted_batch:
            return self
        return replace(self, halt=halt)

    @property
    def in_force(self) -> InForce:
        """What a new order is compared with."""
        revoked = self.trust.revoked
        return InForce(
            trust=self.trust,
            policy=self.policy,
            seats=self.seats,
            suspected=frozenset(held.digest for held in self.pauses if held.suspected(revoked)),
        )

    @property
    def fences(self) -> dict[str, bytes]:
        """Digest of the ruling that keeps a declared cluster apart, by its name."""
        fences: dict[str, bytes] = {}
        for verified in self.cluster_rulings:
            if isinstance(verified.order, ClusterRuling):
                fences = fenced(fences, verified.order, verified.digest)
        return fences

    @property
    def due_unix_ms(self) -> int | None:
        """Our own time at which the next order comes into force; ``None`` where none waits."""
        return min((held.due_unix_ms for held in self.waiting), default=None)

    def accept(self, envelope: Envelope, unix_ms: int) -> OrderBook:
        """The book with one more order, accepted at this time of our own.

        What loosens may have to wait first: see ``waiting`` and ``ripe``.

        Raises:
            PeerError: signatures, authority or history do not allow it; the detail says why.
        """
        book = self.ripe(unix_ms)
        verified = book.trust.verify(envelope)
        if verified.digest in book.vetoed:
            raise HistoryError(
                f"order {verified.digest.hex()[:16]} was vetoed",
                code="order.vetoed",
                remedy="Officers sign another one, once they agree.",
            )
        # In force or not: what could not come into force now is refused now.
        applied = book.apply(verified, unix_ms)
        why = loosened(verified.order, book.in_force)
        delay_ms = book.in_force.delay_ms
        if not why or not delay_ms:
            return applied
        held = Waiting(
            digest=verified.digest,
            envelope=envelope,
            accepted_unix_ms=unix_ms,
            due_unix_ms=unix_ms + delay_ms,
            why=why,
        )
        if len(book.waiting) >= ORDERS_WAITING_MAX:
            raise HistoryError(
                f"{len(book.waiting)} orders wait already",
                code="order.waiting",
                remedy="Wait for one of them, or veto one.",
            )
        return replace(book, waiting=(*book.waiting, held))

    def ripe(self, unix_ms: int) -> OrderBook:
        """The book at this time of our own: what waited long enough is in force."""
        book = self
        while due := [held for held in book.waiting if held.due_unix_ms <= unix_ms]:
            held = min(due, key=lambda one: one.due_unix_ms)
            book = replace(book, waiting=tuple(one for one in book.waiting if one is not held))
            try:
                # Its officers may have lost their say while it waited.
                book = book.apply(book.trust.verify(held.envelope), held.due_unix_ms)
            except PeerError as error:
                book = book.let_fall(held.digest, error.code, error.detail)
        return book

    def let_fall(self, digest: bytes, code: str, detail: str) -> OrderBook:
        """The book that remembers an order which waited and will never come into force."""
        fallen = Fallen(digest=digest, code=code, detail=detail)
        return replace(self, fallen=(*self.fallen, fallen)[-FALLEN_KEPT:])

    def apply(self, verified: VerifiedOrder, unix_ms: int) -> OrderBook:
        """The book with a verified order in force, at this time of our own: it waits no longer."""
        order, envelope = verified.order, verified.envelope
        match order:
            case TrustRoot():
                return replace(
                    self, trust=self.trust.successor(envelope), roots=(*self.roots, envelope)
                )
            case Delegation():
                held = self.delegation.order if self.delegation is not None else None
                if isinstance(held, Delegation):
                    _check_above("delegation serial", order.serial, held.serial)
                return replace(self, delegation=verified)
            case Policy():
                _check_above("policy version", order.version, self.policy_version)
                return replace(self, policy=order, policy_envelope=envelope)
            case Pause():
                return self._pause(order, verified, unix_ms)
            case Resume():
                lifts = frozenset(order.lifts)
                return replace(
                    self,
                    pauses=tuple(held for held in self.pauses if held.digest not in lifts),
                    lifted=self.lifted | lifts,
                    resumes=(*self.resumes, envelope)[-RESUMES_KEPT:],
                )
            case Reconciliation():
                return self._reconcile(order, unix_ms)
            case ClusterRuling():
                return replace(self, cluster_rulings=(*self.cluster_rulings, verified))
            case _:
                return self._judge(order, verified)

    def _judge(self, order: Order, verified: VerifiedOrder) -> OrderBook:
        """Orders about orders, keys, chains and seats."""
        told = (*self.told, verified.envelope)
        match order:
            case Veto():
                return replace(self._veto(order, verified), told=told)
            case Confirmation():
                confirmed = self.confirmed | set(order.pauses)
                pauses = tuple(
                    replace(held, confirmed=held.confirmed or held.digest in confirmed)
                    for held in self.pauses
                )
                return replace(self, confirmed=confirmed, pauses=pauses, told=told)
            case Revocation():
                trust = self.trust.without(order.key_digest.hex())
                return replace(self, trust=trust, told=told)
            case Seats():
                _check_above(
                    "version of the seats",
                    order.version,
                    0 if self.seats is None else self.seats.version,
                )
                return replace(self, seats=order, told=told)
            case Adoption() | Closure() | Relief():
                return replace(self, ruled=(*self.ruled, verified))
            case _:
                return self

    def _veto(self, order: Veto, verified: VerifiedOrder) -> OrderBook:
        """Ends an order that waits, or one that has not come yet."""
        held = [one for one in self.waiting if one.digest == order.order_digest]
        waiting = tuple(one for one in self.waiting if one.digest != order.order_digest)
        book = replace(self, waiting=waiting, vetoed=self.vetoed | {order.order_digest})
        if not held:
            return book
        officer = ", ".join(sorted(self.trust.officers(verified.signers)))
        return book.let_fall(order.order_digest, "order.vetoed", f"{officer}: {order.reason}")

    @property
    def policy_version(self) -> int:
        """Version in force, 0 before the first."""
        return 0 if self.policy is None else self.policy.version

    def _pause(self, pause: Pause, verified: VerifiedOrder, unix_ms: int) -> OrderBook:
        if pause.scope.kind not in NARROW and not self.trust.fills("resume", verified.signers):
            longest_ms = PAUSE_LAPSE_MS if self.policy is None else self.policy.pause_lapse_ms
            if pause.lapse_ms is None or pause.lapse_ms > longest_ms:
                raise ForgedError(
                    f"pause of {pause.scope} by one officer lapses after {pause.lapse_ms} ms, "
                    f"at most {longest_ms} are allowed without a quorum",
                    code="pause.lapse",
                    remedy="Set a lapse, or let a quorum sign.",
                )
        known = any(held.digest == verified.digest for held in self.pauses)
        if known or verified.digest in self.lifted:
            return self
        latched = LatchedPause(
            accepted_unix_ms=unix_ms,
            digest=verified.digest,
            pause=pause,
            envelope=verified.envelope,
            confirmed=verified.digest in self.confirmed,
            signers=verified.signers,
        )
        # Widest first: an answer names at most so many, and the widest must be among them.
        pauses = sorted((*self.pauses, latched), key=lambda held: held.pause.scope.kind)
        return replace(self, pauses=tuple(pauses))

    def _reconcile(self, order: Reconciliation, unix_ms: int) -> OrderBook:
        if self.halt is None:
            raise HistoryError(
                "this governor was not rolled back, there is nothing to reconcile",
                code="reconcile.not-halted",
            )
        if order.batch_number < self.halt.quoted_batch:
            raise HistoryError(
                f"reconciliation up to batch {order.batch_number}, hosts quoted "
                f"{self.halt.quoted_batch}",
                code="reconcile.batch",
                remedy=f"Sign one with at least {self.halt.quoted_batch}.",
            )
        if order.batch_number > max(self.halt.quoted_batch, unix_ms + AHEAD_MAX):
            raise HistoryError(
                f"reconciliation up to batch {order.batch_number} would use up the numbers",
                code="reconcile.batch",
                remedy=f"Sign one a little above {self.halt.quoted_batch}.",
            )
        lost = (self.halt.own_batch, order.batch_number)
        return replace(
            self,
            halt=None,
            lost=(*self.lost, lost),
            reconciled_unix_ms=unix_ms,
            ahead=max(self.ahead, order.batch_number - unix_ms),
        )


def _check_above(name: str, new: int, held: int) -> None:
    if new <= held:
        raise HistoryError(
            f"{name} {new}, {held} is in force",
            code="order.version",
            remedy=f"Sign one above {held}.",
        )


def caps_of(policy: Policy) -> dict[str, int]:
    """Caps in TFLOP by scope in words; no workload's lies above what policy prohibits."""
    most_tflop = policy.prohibit_tflop or COUNT_MAX
    return {
        str(budget.scope): min(budget.cap_tflop, most_tflop)
        if budget.scope.kind is ScopeKind.WORKLOAD
        else budget.cap_tflop
        for budget in policy.budgets
    }
