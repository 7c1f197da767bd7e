"""What the officers of one authority ordered, as far as this gate holds it to be in force (law 6).

* An order counts once its role's threshold signed it, under the root in force at that time.
* What loosens waits as long as the policy in force says, in gate running time since it was first
  seen; one officer's veto ends it meanwhile. When its time comes it is verified again. The gate
  counts for itself, so that no online key can shorten the delay.
* Before the authority admits this host there is nothing to loosen: what `Enroll` brings is in force
  at once, as if it had been seen one delay ago.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Final

from flopgate_agent.gate.latched import LatchedPause, PermitKey, Taken, WaitingOrder
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ForgedError, HistoryError, PeerError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.limits import COUNT_MAX, ORDERS_WAITING_MAX
from flopgate_proto.loosening import InForce, loosened
from flopgate_proto.trust import Trust, VerifiedOrder
from flopgate_proto.values import (
    Confirmation,
    Delegation,
    Pause,
    Policy,
    Resume,
    Revocation,
    Scope,
    ScopeKind,
    Seats,
    Standing,
    TrustRoot,
    Veto,
)
from flopgate_proto.values.orders import NARROW

DELEGATE: Final = (
    "Officers of the authority run `flopgate-governor delegate`; the courier brings it."
)
"""The way back from an expired delegation."""


class OfficerOrders:
    """Orders of one authority; changes only through verified ones, and with time.

    Attributes:
        admitted: whether the authority admitted this host.
        policy_seen_running_ms: gate running time at which the policy in force came.
        waiting: what loosens and is not in force yet, in the order in which it came.
        unseen_pauses: digests that an answer names, of pauses that have not arrived.
        seats: which authorities have a say, as far as this one is asked; ``None``: all.
    """

    def __init__(self, name: str, *, admitted: bool) -> None:
        self.name = name
        self.admitted = admitted
        self.trust: Trust | None = None
        self.policy: Policy | None = None
        self.policy_digest = b""
        self.policy_seen_running_ms = 0
        self.scopes: frozenset[Scope] = frozenset()
        self.pauses: dict[bytes, LatchedPause] = {}
        self.lifted: set[bytes] = set()
        self.unseen_pauses: frozenset[bytes] = frozenset()
        self.permit_keys: dict[str, PermitKey] = {}
        self.waiting: tuple[WaitingOrder, ...] = ()
        self.seats: Seats | None = None
        self._vetoed: set[bytes] = set()
        self._confirmed: set[bytes] = set()
        self._known: set[bytes] = set()

    # ------------------------------------------------------------------ what comes in

    def pin_if_first(self, envelope: Envelope, digest: bytes) -> bool:
        """Take the first trust root by its pinned digest; whether it was taken."""
        if self.trust is not None:
            return False
        trust = Trust.pinned(envelope, digest)
        if trust.authority != self.name:
            raise ForgedError(
                f"trust root of {trust.authority!r} where {self.name!r} was joined",
                code="trust-root.authority",
            )
        self.trust = trust
        self._known.add(envelope.digest)
        return True

    def restore(self, envelope: Envelope, first_seen_running_ms: int) -> None:
        """An order that was accepted before; in the order in which they were."""
        if self.trust is None:
            self.trust = Trust.stored(envelope)
            self._known.add(envelope.digest)
            return
        self.accept(envelope, first_seen_running_ms)

    def accept(self, envelope: Envelope, running_ms: int) -> Taken | None:
        """Verify an order and put it in force or let it wait; ``None`` when it is known.

        What is known was fully verified when it came first, under the root of that day.

        Raises:
            PeerError: it does not hold; nothing has changed.
        """
        self._trust()
        if envelope.digest in self._known:
            return None
        self.ripe(running_ms)
        verified, root_due_ms = self._verified(envelope)
        if verified.digest in self._vetoed:
            raise HistoryError(
                f"order {verified.digest.hex()[:16]} was vetoed",
                code="order.vetoed",
                remedy="Officers sign another one, once they agree.",
            )
        if root_due_ms is None:
            self._check(verified)
        delay_ms = self._in_force().delay_ms
        if not delay_ms or not loosened(verified.order, self._in_force()):
            delay_ms = 0
        seen_ms = running_ms if self.admitted else running_ms - delay_ms
        if delay_ms or root_due_ms is not None:
            self._let_wait(verified, seen_ms, max(seen_ms + delay_ms, root_due_ms or 0))
        else:
            self._apply(verified, running_ms)
        self._known.add(verified.digest)
        self.ripe(running_ms)
        waits = any(held.verified is verified for held in self.waiting)
        return Taken(verified=verified, first_seen_running_ms=seen_ms, waits=waits)

    def _verified(self, envelope: Envelope) -> tuple[VerifiedOrder, int | None]:
        """An order that holds; with the time of the root, where only one that waits lets it hold.

        The authority counts the delay by its own clock: its new root may rule there already.
        """
        try:
            return self._trust().verify(envelope), None
        except ForgedError:
            roots = [self._trust()]
            for held in self.waiting:
                known = roots if isinstance(held.verified.order, TrustRoot) else []
                for before in tuple(known):
                    with suppress(PeerError):
                        roots.append(before.successor(held.verified.envelope))
                        return roots[-1].verify(envelope), held.due_running_ms
            raise

    def _let_wait(self, verified: VerifiedOrder, seen_ms: int, due_ms: int) -> None:
        if len(self.waiting) >= ORDERS_WAITING_MAX:
            raise HistoryError(f"{ORDERS_WAITING_MAX} orders wait already", code="order.waiting")
        held = WaitingOrder(verified=verified, first_seen_running_ms=seen_ms, due_running_ms=due_ms)
        self.waiting = (*self.waiting, held)

    def ripe(self, running_ms: int) -> tuple[VerifiedOrder, ...]:
        """Put in force what waited long enough by now; what came into force."""
        came: list[VerifiedOrder] = []
        while due := [held for held in self.waiting if held.due_running_ms <= running_ms]:
            held = min(due, key=lambda one: one.due_running_ms)
            self.waiting = tuple(one for one in self.waiting if one is not held)
            try:
                # Its officers may have lost their say while it waited.
                verified = self._trust().verify(held.verified.envelope)
                self._check(verified)
            except PeerError:
                continue
            self._apply(verified, held.first_seen_running_ms)
            came.append(verified)
        return tuple(came)

    def _trust(self) -> Trust:
        if self.trust is None:
            raise ForgedError(
                f"no trust root of {self.name!r} yet",
                code="order.no-trust",
                remedy="Join this authority first.",
            )
        return self.trust

    def _in_force(self) -> InForce:
        trust = self._trust()
        suspected = {
            digest
            for digest, held in self.pauses.items()
            if held.signers and held.signers <= trust.revoked and digest not in self._confirmed
        }
        return InForce(
            trust=trust, policy=self.policy, seats=self.seats, suspected=frozenset(suspected)
        )

    # ------------------------------------------------------------------ what each order does

    def _check(self, verified: VerifiedOrder) -> None:
        """Refuse what history does not allow; nothing changes."""
        match verified.order:
            case TrustRoot():
                self._trust().successor(verified.envelope)
            case Revocation(key_digest=digest):
                self._trust().without(digest.hex())
            case Delegation(serial=serial):
                serials = [entry.delegation.serial for entry in self.permit_keys.values()]
                if serial <= max(serials, default=-1):
                    raise HistoryError(
                        f"delegation {serial}, {max(serials)} is in force",
                        code="delegation.serial",
                    )
            case Policy(version=version):
                if self.policy is not None and version <= self.policy.version:
                    raise HistoryError(
                        f"policy version {version}, {self.policy.version} is in force",
                        code="policy.version",
                    )
            case Seats(version=version):
                if self.seats is not None and version <= self.seats.version:
                    raise HistoryError(
                        f"seats of version {version}, {self.seats.version} are in force",
                        code="seats.version",
                    )
            case Pause():
                self._check_pause(verified.order, verified.signers)

    def _check_pause(self, pause: Pause, signers: frozenset[str]) -> None:
        longest_ms = self.policy.pause_lapse_ms if self.policy else COUNT_MAX
        bounded = pause.lapse_ms is not None and pause.lapse_ms <= longest_ms
        if bounded or pause.scope.kind in NARROW or self._trust().fills("resume", signers):
            return
        raise ForgedError(
            f"a pause wider than one cluster by one officer must lapse within {longest_ms} ms",
            code="pause.lapse",
            remedy="Set a shorter lapse, or have a quorum sign the pause.",
        )

    def _apply(self, verified: VerifiedOrder, running_ms: int) -> None:
        """Put a checked order in force; its spans count from ``running_ms``."""
        order = verified.order
        match order:
            case TrustRoot():
                self.trust = self._trust().successor(verified.envelope)
            case Revocation():
                self.trust = self._trust().without(order.key_digest.hex())
            case Delegation():
                key = VerifyingKey(order.permit_spki)
                self.permit_keys[key.key_id] = PermitKey(
                    key=key, delegation=order, until_running_ms=running_ms + order.span_ms
                )
            case Policy():
                self.policy, self.policy_digest = order, verified.digest
                self.policy_seen_running_ms = running_ms
            case Seats():
                self.seats = order
            case Pause():
                self._take_pause(order, verified, running_ms)
            case Resume():
                self._take_resume(order)
            case Veto():
                self._vetoed.add(order.order_digest)
                self.waiting = tuple(
                    held for held in self.waiting if held.verified.digest != order.order_digest
                )
            case Confirmation():
                self._confirm(order)

    def _take_pause(self, pause: Pause, verified: VerifiedOrder, running_ms: int) -> None:
        if verified.digest in self.lifted:
            return
        quorum = self._trust().fills("resume", verified.signers)
        self.pauses[verified.digest] = LatchedPause(
            pause=pause,
            digest=verified.digest,
            first_seen_running_ms=running_ms,
            confirmed=quorum or verified.digest in self._confirmed,
            signers=verified.signers,
        )
        self.unseen_pauses -= {verified.digest}

    def _take_resume(self, order: Resume) -> None:
        self.lifted |= set(order.lifts)
        self.unseen_pauses -= self.lifted
        for digest in order.lifts:
            self.pauses.pop(digest, None)

    def _confirm(self, order: Confirmation) -> None:
        self._confirmed |= set(order.pauses)
        for digest in self._confirmed & self.pauses.keys():
            self.pauses[digest] = replace(self.pauses[digest], confirmed=True)

    # ------------------------------------------------------------------ what holds now

    def due_running_ms(self) -> int | None:
        """Gate running time at which the next order comes into force; ``None``: none waits."""
        return min((held.due_running_ms for held in self.waiting), default=None)

    def waiting_policies(self) -> tuple[Policy, ...]:
        """Policies that officers signed and that are not in force yet."""
        orders = [held.verified.order for held in self.waiting]
        return tuple(order for order in orders if isinstance(order, Policy))

    def known_version(self) -> int:
        """Newest policy that this gate knows, in force or not: 0 for none."""
        known = [one for one in (self.policy, *self.waiting_policies()) if one is not None]
        return max((one.version for one in known), default=0)

    def keeps_say_of(self, name: str) -> bool:
        """Whether this authority wants that one (or itself) to have a say."""
        standings = (
            {}
            if self.seats is None
            else {seat.authority: seat.standing for seat in self.seats.seats}
        )
        return standings.get(name, Standing.REQUIRED) is Standing.REQUIRED

    def keys_in_force(self, running_ms: int) -> dict[str, VerifyingKey]:
        """Permit keys whose delegation still runs and whose least policy is met."""
        version = self.known_version()
        return {
            key_id: entry.key
            for key_id, entry in self.permit_keys.items()
            if running_ms < entry.until_running_ms
            and version >= entry.delegation.least_policy_version
        }

    def delegation_expired(self, running_ms: int) -> bool:
        """Whether every key that officers let sign has had its span."""
        spans = [entry.until_running_ms for entry in self.permit_keys.values()]
        return bool(spans) and running_ms >= max(spans)

    def check_delegated(self, envelope: Envelope, running_ms: int) -> None:
        """Say why a key that officers once let sign does not count now.

        Signatures are not checked here: who else signed is told by the check that follows.

        Raises:
            ForgedError: all that signed, of keys ever delegated, are out of force.
        """
        signed = {signature.key_id for signature in envelope.signatures}
        known = [entry for key_id, entry in self.permit_keys.items() if key_id in signed]
        if not known or signed & self.keys_in_force(running_ms).keys():
            return
        ago_ms = running_ms - max(entry.until_running_ms for entry in known)
        if ago_ms >= 0:
            raise ForgedError(
                f"the delegation of {self.name!r} expired {ago_ms // 1000} s of gate running time "
                "ago",
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
            for latched in self.pauses.values()
            if latched.pause.scope in mine and not latched.lapsed(running_ms)
        ]
        return min(found, key=lambda latched: not latched.pause.emergency, default=None)
