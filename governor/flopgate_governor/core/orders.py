"""Orders in force (law 6): a fold over the orders that were accepted, in log order.

* Trust roots, delegations and policies only go up.
* Pauses are a set latched by digest. A resume lifts exactly the digests it lists; a lifted digest
  never latches again, whichever of the two came first.
* One officer pauses, at once. Wider than one cluster, one officer's pause must lapse within what
  policy says; a quorum (the threshold of the role ``resume``) may leave the lapse out.
* A lapse counts gate running time, but never runs faster than our own clock: hosts tell that time.
* After a rollback only a quorum's reconciliation lets grants flow again, and only once the grants
  that were lost have run out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from flopgate_governor.core.quotes import AHEAD_MAX, Numbering
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ForgedError, HistoryError, UnknownVersionError
from flopgate_proto.trust import Trust, VerifiedOrder
from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_proto.values.orders import (
    ClusterRuling,
    Delegation,
    Pause,
    Policy,
    Reconciliation,
    Resume,
    TrustRoot,
)

PAUSE_LAPSE_MS: Final = 72 * 3600 * 1000
"""Longest lapse of one officer's wide pause where no policy says otherwise."""

RESUMES_KEPT: Final = 1_024
"""Newest resumes that are told to hosts again: one that was away still holds what they lift."""

NARROW: Final = frozenset({ScopeKind.CLUSTER})
"""Scopes no wider than one cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatchedPause:
    """A pause in force, since ``accepted_unix_ms`` of our own time."""

    accepted_unix_ms: int
    digest: bytes
    pause: Pause
    envelope: Envelope


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

    ``reconciled_unix_ms``: our own time of the newest reconciliation. ``ahead``: how far, at most,
    reconciled numbers lay above it.
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

    def accept(self, envelope: Envelope, unix_ms: int) -> OrderBook:
        """The book with one more order, accepted at this time of our own.

        Raises:
            PeerError: signatures, authority or history do not allow it; the detail says why.
        """
        verified = self.trust.verify(envelope)
        order = verified.order
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
                raise UnknownVersionError(
                    "this governor finds no clusters", code="order.type.unknown"
                )

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
    """Caps in TFLOP by scope in words."""
    return {str(budget.scope): budget.cap_tflop for budget in policy.budgets}


def pauses_for(
    pauses: tuple[LatchedPause, ...], scopes: Iterable[Scope], workloads: Iterable[str]
) -> tuple[LatchedPause, ...]:
    """Those that match a host's scopes or one of its workloads."""
    named = set(scopes) | {Scope(ScopeKind.WORKLOAD, workload) for workload in workloads}
    return tuple(held for held in pauses if held.pause.scope in named)


def concerns_host(pause: Pause, facts_scopes: Iterable[Scope]) -> bool:
    """Whether a host is told: a workload can turn up on any host, so everyone is told of those."""
    return pause.scope.kind is ScopeKind.WORKLOAD or pause.scope in set(facts_scopes)


def not_lapsed(
    pauses: tuple[LatchedPause, ...], running_ms: int, told_ms: dict[bytes, int], unix_ms: int
) -> tuple[LatchedPause, ...]:
    """Those whose lapse has not passed.

    Args:
        pauses: in force for a host.
        running_ms: gate running time now.
        told_ms: gate running time when the host was told of each.
        unix_ms: our own time.
    """
    return tuple(
        held
        for held in pauses
        if held.pause.lapse_ms is None
        or running_ms < told_ms.get(held.digest, running_ms) + held.pause.lapse_ms
        or unix_ms < held.accepted_unix_ms + held.pause.lapse_ms
    )
