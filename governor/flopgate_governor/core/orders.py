"""What officers ordered, as this governor holds it, in its own time (law 6).

What is in force is `flopgate_proto.orders`; here stands what no gate acts on, and what gates must
be told again.

* After a rollback only a quorum's reconciliation lets grants flow again, and only once the grants
  that were lost have run out.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from flopgate_governor.core.clusters import fenced
from flopgate_governor.core.quotes import AHEAD_MAX, Numbering
from flopgate_proto.codec import PayloadType, decode_order
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import HistoryError
from flopgate_proto.keys import VerifyingKey, key_digest
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.orders.book import GOVERNOR, OrderBook
from flopgate_proto.orders.held import DelegatedKey
from flopgate_proto.quick import maker
from flopgate_proto.trust import Trust, VerifiedOrder
from flopgate_proto.values.common import ScopeKind
from flopgate_proto.values.orders import (
    Adoption,
    Closure,
    ClusterRuling,
    Confirmation,
    Policy,
    Reconciliation,
    Relief,
    Resume,
    Revocation,
    Seats,
    TrustRoot,
    Veto,
)

make_numbering = maker(Numbering)

RESUMES_KEPT: Final = 1_024
"""Newest resumes that are told to hosts again: one that was away still holds what they lift."""

VETOES_KEPT: Final = 256
"""Newest vetoes of each officer that are told to hosts again: one that was away may let wait what
they end. Nobody pushes out another's by many of his own."""


class Mandate(enum.Enum):
    """What officers let an online key do."""

    GIVEN = "given"
    MISSING = "delegation.missing"
    REVOKED = "delegation.revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """A rollback of this governor (law 4).

    Attributes:
        own_batch: highest batch that is certainly ours: it stood in the store when this process
            opened it, and below each that was shown to be lost.
        quoted_batch: highest batch that was shown to be lost.
        host_id: which host quoted it.
    """

    own_batch: int
    quoted_batch: int
    host_id: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernorBook:
    """The orders of one authority, and what only its governor does with them.

    Attributes:
        orders: in force and waiting.
        roots: envelopes of all trust roots, from the first one on.
        reconciled_unix_ms: our own time of the newest reconciliation.
        licenses_until_unix_ms: when the last license ends that any rollback may have lost.
        ahead: how far, at most, reconciled numbers lay above it.
        ruled: adoptions, closures and reliefs in force: what they do stands in the store.
        told: vetoes, confirmations, revocations and the newest seats, in the order in which they
            came into force.
        former: digests of the officers' keys that trust roots named before the one in force.
        cluster_rulings: in the order in which they came into force.
    """

    orders: OrderBook
    roots: tuple[Envelope, ...]
    resumes: tuple[Envelope, ...] = ()
    halt: Halt | None = None
    lost: tuple[tuple[int, int], ...] = ()
    reconciled_unix_ms: int | None = None
    licenses_until_unix_ms: int = 0
    ahead: int = 0
    ruled: tuple[VerifiedOrder, ...] = ()
    told: tuple[VerifiedOrder, ...] = ()
    former: frozenset[bytes] = frozenset()
    cluster_rulings: tuple[VerifiedOrder, ...] = ()

    @classmethod
    def first(cls, root: Envelope) -> GovernorBook:
        """The book that an accepted first trust root opens."""
        return cls(orders=OrderBook(side=GOVERNOR, trust=Trust.stored(root)), roots=(root,))

    @property
    def authority(self) -> str:
        """Name of the authority."""
        return self.orders.trust.authority

    @property
    def delegation(self) -> DelegatedKey | None:
        """The newest."""
        return self.orders.delegated[-1] if self.orders.delegated else None

    def delegation_of(self, key_id: str) -> DelegatedKey | None:
        """The newest of this online key, while its place is not taken by newer ones."""
        return next((one for one in self.orders.delegated if one.key.key_id == key_id), None)

    def mandate(self, key_id: str) -> Mandate:
        """What officers let an online key do now: gates count the spans for themselves.

        A newer delegation of another key ends nothing: its governor has yet to start with that.
        """
        if key_id in self.orders.trust.revoked:
            return Mandate.REVOKED
        held = self.delegation_of(key_id)
        least = None if held is None else held.delegation.least_policy_version
        given = least is not None and self.orders.policy_version >= least
        return Mandate.GIVEN if given else Mandate.MISSING

    def check_signs(self, key_id: str) -> None:
        """A key that officers revoked signs nothing more.

        Raises:
            HistoryError: it was.
        """
        if self.mandate(key_id) is Mandate.REVOKED:
            raise HistoryError(
                f"officers of {self.authority!r} revoked key {key_id[:16]}, with which this "
                "governor signs",
                code=Mandate.REVOKED.value,
                remedy="Officers delegate a new key, and the governor starts with it.",
            )

    def delegations(self, key_id: str) -> list[Envelope]:
        """What a gate must hold of them to verify what this key signs, and the newest."""
        held = [self.delegation_of(key_id), self.delegation]
        return list({one.envelope.digest: one.envelope for one in held if one}.values())

    @property
    def still_told(self) -> tuple[Envelope, ...]:
        """Of ``told``, what a host can still need: their number would else grow for ever.

        Revocations of online keys always, for a host may come back that took one for good.
        """
        waiting = [held.verified.order for held in self.orders.waiting]
        roots = [self.orders.trust.root, *(one for one in waiting if isinstance(one, TrustRoot))]
        named = {key_digest(key.spki) for root in roots for key in root.keys}
        return tuple(
            one.envelope
            for one in self.told
            if not isinstance(one.order, Revocation)
            or one.order.key_digest in named
            or one.order.key_digest not in self.former
        )

    @property
    def least_batch(self) -> int:
        """Batches are numbered above this: reconciled numbers are never used again."""
        return max((upto for _, upto in self.lost), default=0)

    def answer_keys(self, signing_spki: bytes) -> dict[str, VerifyingKey]:
        """Keys that can have signed our answers, by id; none that was revoked.

        ``signing_spki``: of the key that signs now. A store that was put back may lack the
        delegation that lets it.
        """
        known = [held.key for held in self.orders.delegated]
        revoked = self.orders.trust.revoked
        former = {key.key_id: key for key in known if key.key_id not in revoked}
        signing = VerifyingKey(signing_spki)
        return former | {signing.key_id: signing}

    @property
    def revoked_keys(self) -> dict[str, VerifyingKey]:
        """Former online keys that officers revoked, by id."""
        revoked = self.orders.trust.revoked
        known = [held.key for held in self.orders.delegated]
        return {key.key_id: key for key in known if key.key_id in revoked}

    def numbering(self, unix_ms: int, ours: Mapping[int, bytes]) -> Numbering:
        """Our own batches, as quotes of some numbers are judged by them now."""
        halt = self.halt
        return make_numbering(
            reach=unix_ms + AHEAD_MAX,
            ours=ours,
            lost=self.lost,
            halt=None if halt is None else (halt.own_batch, halt.quoted_batch),
        )

    def halted(self, shown: Halt) -> GovernorBook:
        """The book after a host showed a batch that we lost; the highest one counts."""
        held = self.halt
        if held is None:
            return replace(self, halt=shown)
        highest = shown if shown.quoted_batch > held.quoted_batch else held
        halt = replace(highest, own_batch=min(shown.own_batch, held.own_batch))
        return self if halt == held else replace(self, halt=halt)

    @property
    def fences(self) -> dict[str, bytes]:
        """Digest of the ruling that keeps a declared cluster apart, by its name."""
        fences: dict[str, bytes] = {}
        for verified in self.cluster_rulings:
            if isinstance(verified.order, ClusterRuling):
                fences = fenced(fences, verified.order, verified.digest)
        return fences

    def accept(self, envelope: Envelope, unix_ms: int) -> GovernorBook:
        """The book with one more order, accepted at this time of our own.

        What loosens may have to wait first: see ``orders.waiting`` and ``ripe``.

        Raises:
            PeerError: signatures, authority or history do not allow it; the detail says why.
        """
        accepted = self.orders.accept(envelope, unix_ms)
        return _noted(replace(self, orders=accepted.book), accepted.came, unix_ms)

    def ripe(self, unix_ms: int) -> GovernorBook:
        """The book at this time of our own: what waited long enough is in force."""
        orders, came = self.orders.ripe(unix_ms)
        return _noted(replace(self, orders=orders), came, unix_ms)

    def let_fall(self, digest: bytes, code: str, detail: str) -> GovernorBook:
        """The book that remembers an order which came into force and could not be carried out."""
        return replace(self, orders=self.orders.let_fall(digest, code, detail))


def _noted(book: GovernorBook, came: Iterable[VerifiedOrder], unix_ms: int) -> GovernorBook:
    """The book with what orders that came into force do here alone."""
    for verified in came:
        match verified.order:
            case TrustRoot():
                before = decode_order(PayloadType.TRUST_ROOT, book.roots[-1].payload)
                left = before.keys if isinstance(before, TrustRoot) else ()
                book = replace(
                    book,
                    roots=(*book.roots, verified.envelope),
                    former=book.former.union(key_digest(key.spki) for key in left),
                )
            case Resume():
                resumes = (*book.resumes, verified.envelope)[-RESUMES_KEPT:]
                book = replace(book, resumes=resumes)
            case Veto() | Confirmation() | Revocation() | Seats():
                book = replace(book, told=_with_told(book, verified))
            case Adoption() | Closure() | Relief():
                book = replace(book, ruled=(*book.ruled, verified))
            case ClusterRuling():
                book = replace(book, cluster_rulings=(*book.cluster_rulings, verified))
            case Reconciliation() as order:
                book = _reconciled(book, order, unix_ms)
            case _:
                pass
    return book


def _with_told(book: GovernorBook, new: VerifiedOrder) -> tuple[VerifiedOrder, ...]:
    """``told`` with one more, less what no host can need any more."""
    vetoes: dict[frozenset[str], list[VerifiedOrder]] = {}
    for one in (*book.told, new):
        if isinstance(one.order, Veto):
            vetoes.setdefault(one.signers, []).append(one)
    spent = {one.digest for many in vetoes.values() for one in many[:-VETOES_KEPT]}
    left = []
    for one in book.told:
        match one.order:
            case Seats():
                keep = not isinstance(new.order, Seats)
            case Confirmation(pauses=pauses):
                keep = not book.orders.lifted.issuperset(pauses)
            case _:
                keep = one.digest not in spent
        if keep:
            left.append(one)
    return (*left, new)


def _reconciled(book: GovernorBook, order: Reconciliation, unix_ms: int) -> GovernorBook:
    if not order.batch_number and order.licenses_until_unix_ms > unix_ms:
        # Officers know of a rollback that no host quoted: whoever holds a lost license may be away.
        return _waiting_for_lost(book, order, unix_ms)
    if book.halt is None:
        raise HistoryError(
            "this governor was not rolled back, there is nothing to reconcile",
            code="reconcile.not-halted",
        )
    if order.batch_number < book.halt.quoted_batch:
        raise HistoryError(
            f"reconciliation up to batch {order.batch_number}, hosts quoted "
            f"{book.halt.quoted_batch}",
            code="reconcile.batch",
            remedy=f"Sign one with at least {book.halt.quoted_batch}.",
        )
    if order.batch_number > max(book.halt.quoted_batch, unix_ms + AHEAD_MAX):
        raise HistoryError(
            f"reconciliation up to batch {order.batch_number} would use up the numbers",
            code="reconcile.batch",
            remedy=f"Sign one a little above {book.halt.quoted_batch}.",
        )
    lost = (book.halt.own_batch, order.batch_number)
    return replace(
        _waiting_for_lost(book, order, unix_ms),
        halt=None,
        lost=(*book.lost, lost),
        ahead=max(book.ahead, order.batch_number - unix_ms),
    )


def _waiting_for_lost(book: GovernorBook, order: Reconciliation, unix_ms: int) -> GovernorBook:
    until_ms = max(book.licenses_until_unix_ms, order.licenses_until_unix_ms)
    return replace(book, reconciled_unix_ms=unix_ms, licenses_until_unix_ms=until_ms)


def caps_of(policy: Policy) -> dict[str, int]:
    """Caps in TFLOP by scope in words; no workload's lies above what policy prohibits."""
    most_tflop = policy.prohibit_tflop or COUNT_MAX
    return {
        str(budget.scope): min(budget.cap_tflop, most_tflop)
        if budget.scope.kind is ScopeKind.WORKLOAD
        else budget.cap_tflop
        for budget in policy.budgets
    }
