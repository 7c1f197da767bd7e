"""One authority as this gate sees it: its trust, orders in force, and what it granted last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import dropwhile

from flopgate_agent.gate.memory import Moment, StoredAuthority, StoredTime
from flopgate_agent.gate.settings import GateToken
from flopgate_agent.gate.told_time import ToldTime
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.codec import decode_enrolment
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ForgedError, HistoryError, MisuseError
from flopgate_proto.keys import VerifyingKey
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.trust import Trust, VerifiedOrder
from flopgate_proto.values import (
    Delegation,
    Pause,
    Phase,
    Policy,
    Quote,
    Refusal,
    Resume,
    Scope,
    ScopeKind,
    TrustRoot,
)

NARROW = frozenset({ScopeKind.CLUSTER})
"""Scopes no wider than one cluster: a pause of these may last until it is lifted. A workload may
run on several clusters."""


DELEGATE = "Officers of the authority run `flopgate-governor delegate`; the courier brings it."
"""The way back from an expired delegation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What one answer granted. Lives in memory only, dies with this run of the gate.

    Attributes:
        made_ms: when the request was made; the lifetime counts from here (law 1).
        ceilings: teraFLOP by workload; a workload that is not here was refused.
        phase: as the authority worked it out from the policy of ``policy_version``.
    """

    request_digest: bytes
    made_ms: int
    lifetime_ms: int
    wind_down_ms: int
    renew_after_ms: int
    exempt: bool
    ceilings: dict[str, int]
    phase: Phase
    policy_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatchedPause:
    """A pause in force, since the gate running time at which it was first seen."""

    pause: Pause
    digest: bytes
    first_seen_running_ms: int
    confirmed: bool

    def lapsed(self, running_ms: int) -> bool:
        """Whether its own span is over; one that a quorum signed or that has no span never is."""
        lapse_ms = self.pause.lapse_ms
        return (
            lapse_ms is not None
            and not self.confirmed
            and running_ms >= self.first_seen_running_ms + lapse_ms
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitKey:
    """An online key that officers let sign answers."""

    key: VerifyingKey
    delegation: Delegation
    until_running_ms: int


class Authority:
    """State of one authority; changes only through verified orders and answers.

    Attributes:
        quote: of the newest answer; a report says it as ``quote_at`` does.
        permit: the newest grant, while no newer answer refused.
        acknowledged_sequence: it needs no report up to here: it has them, or follows the chain
            from the one after.
        enrolment, asked: newest statement, and digests of those that an answer may still name.
        granted: by workload, the newest grant that was accepted for it; it outlives a refusal,
            for the authority holds it outstanding until it expires (law 2).
        ruling: the report whose request was answered last, and that answer, for the next run.
        policy_seen_running_ms: gate running time at which the policy in force came.
        told_time: what its signed answers say of the time, ``None`` before the admission.
    """

    def __init__(self, stored: StoredAuthority) -> None:
        self.name = stored.name
        self.quote = stored.quote or Quote(authority=stored.name)
        self._grants = [(0, self.quote.grant)]
        self.batch_digest = stored.batch_digest
        self.acknowledged_sequence = stored.acknowledged_sequence
        self.enrolment = stored.enrolment
        self.asked = stored.asked
        self.admitted = stored.admitted
        self.trust: Trust | None = None
        self.policy: Policy | None = None
        self.policy_digest = b""
        self.policy_seen_running_ms = 0
        self.told_time: ToldTime | None = None
        self._stored_time = stored.time
        self.scopes = stored.scopes
        self.pauses: dict[bytes, LatchedPause] = {}
        self.lifted: set[bytes] = set()
        self.unseen_pauses: frozenset[bytes] = frozenset()
        self.permit: Permit | None = None
        self.granted: dict[str, Permit] = {}
        self.ruling: tuple[Envelope, ProvenAnswer] | None = None
        self.refusals: dict[str, Refusal] = {}
        self.permit_keys: dict[str, PermitKey] = {}
        self.next_request_ms = 0
        self.asked_ms = 0
        self.retry_ms = 0
        self._known: set[bytes] = set()
        for order in stored.orders:
            self._restore(order.envelope, order.first_seen_running_ms)

    def _restore(self, envelope: Envelope, first_seen_running_ms: int) -> None:
        if self.trust is None:
            self.trust = Trust.stored(envelope)
            self._known.add(envelope.digest)
            return
        self.accept(envelope, first_seen_running_ms)

    def note_grant(self, digest: bytes, now_ms: int) -> None:
        """A grant is in use from now on."""
        self._grants.append((now_ms, digest))

    def quote_at(self, end_ms: int) -> Quote:
        """What a report quotes whose figures go up to ``end_ms``.

        Naming a grant frees what the older ones left: it is named once the figures show all that
        was done under those (law 2).
        """
        while len(self._grants) > 1 and self._grants[1][0] <= end_ms:
            del self._grants[0]
        quote, grant = self.quote, self._grants[0][1]
        return quote if quote.grant == grant else replace(quote, grant=grant)

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

    def accept(self, envelope: Envelope, running_ms: int) -> VerifiedOrder | None:
        """Verify an order and put it in force; ``None`` when it was accepted before.

        What is known was fully verified when it came first, under the root of that day.

        Raises:
            PeerError: it does not hold; nothing has changed.
        """
        if self.trust is None:
            raise ForgedError(
                f"no trust root of {self.name!r} yet",
                code="order.no-trust",
                remedy="Join this authority first.",
            )
        if envelope.digest in self._known:
            return None
        verified = self.trust.verify(envelope)
        apply: dict[type, Callable[[VerifiedOrder, int], None]] = {
            TrustRoot: self._take_root,
            Delegation: self._take_delegation,
            Policy: self._take_policy,
            Pause: self._take_pause,
            Resume: self._take_resume,
        }
        handler = apply.get(type(verified.order))
        if handler is not None:
            handler(verified, running_ms)
        self._known.add(verified.digest)
        return verified

    def _take_root(self, verified: VerifiedOrder, _running_ms: int) -> None:
        if self.trust is None:
            raise MisuseError("no trust root to succeed", code="trust-root.none")
        self.trust = self.trust.successor(verified.envelope)

    def _take_delegation(self, verified: VerifiedOrder, running_ms: int) -> None:
        order = verified.order
        if isinstance(order, Delegation):
            serials = [entry.delegation.serial for entry in self.permit_keys.values()]
            if order.serial <= max(serials, default=-1):
                raise HistoryError(
                    f"delegation {order.serial}, {max(serials)} is in force",
                    code="delegation.serial",
                )
            key = VerifyingKey(order.permit_spki)
            self.permit_keys[key.key_id] = PermitKey(
                key=key, delegation=order, until_running_ms=running_ms + order.span_ms
            )

    def _take_policy(self, verified: VerifiedOrder, running_ms: int) -> None:
        order = verified.order
        if not isinstance(order, Policy):
            return
        if self.policy is not None and order.version <= self.policy.version:
            raise HistoryError(
                f"policy version {order.version}, {self.policy.version} is in force",
                code="policy.version",
            )
        self.policy, self.policy_digest = order, verified.digest
        self.policy_seen_running_ms = running_ms

    def _take_pause(self, verified: VerifiedOrder, running_ms: int) -> None:
        order = verified.order
        if not isinstance(order, Pause) or verified.digest in self.lifted:
            return
        confirmed = self.trust is not None and self.trust.fills("resume", verified.signers)
        longest_ms = self.policy.pause_lapse_ms if self.policy else COUNT_MAX
        bounded = order.lapse_ms is not None and order.lapse_ms <= longest_ms
        if not bounded and not confirmed and order.scope.kind not in NARROW:
            raise ForgedError(
                f"a pause wider than one cluster by one officer must lapse within {longest_ms} ms",
                code="pause.lapse",
                remedy="Set a shorter lapse, or have a quorum sign the pause.",
            )
        self.pauses[verified.digest] = LatchedPause(
            pause=order,
            digest=verified.digest,
            first_seen_running_ms=running_ms,
            confirmed=confirmed,
        )
        self.unseen_pauses -= {verified.digest}

    def _take_resume(self, verified: VerifiedOrder, _running_ms: int) -> None:
        order = verified.order
        if isinstance(order, Resume):
            self.lifted |= set(order.lifts)
            self.unseen_pauses -= self.lifted
            for digest in order.lifts:
                self.pauses.pop(digest, None)

    def keys_in_force(self, running_ms: int) -> dict[str, VerifyingKey]:
        """Permit keys whose delegation still runs and whose least policy is met."""
        version = self.policy.version if self.policy else 0
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

    def resume_time(self, now: Moment) -> None:
        """Go on from the time that the ledger knows."""
        if self._stored_time is not None:
            self.told_time = ToldTime.resumed(self._stored_time, now)

    def time_to_keep(self, now: Moment) -> StoredTime | None:
        """The time as it was told, for the ledger."""
        return None if self.told_time is None else self.told_time.stored(now)

    def hear_time(self, unix_ms: int, *, made_ms: int, received_ms: int) -> None:
        """A signed statement told the time, between these moments of host elapsed time."""
        self.told_time = ToldTime.heard(
            unix_ms, made_ms=made_ms, received_ms=received_ms, before=self.told_time
        )

    def note_scopes(self, scopes: frozenset[Scope]) -> None:
        """Scopes an answer names are added for good: leaving one lifts nothing (law 6)."""
        if not scopes <= self.scopes:
            self.scopes |= scopes


def required(
    stored: Iterable[StoredAuthority], tokens: Mapping[str, GateToken]
) -> dict[str, Authority]:
    """Every authority that must give permission, by name: it admitted this host, or was joined.

    A join that was taken back before it was answered does not rule.
    """
    known = {
        one.name: _under_its_root(one, tokens.get(one.name))
        for one in stored
        if one.admitted or one.name in tokens
    }
    return {
        name: Authority(known.get(name) or StoredAuthority(name=name))
        for name in sorted({*known, *tokens})
    }


def _under_its_root(stored: StoredAuthority, token: GateToken | None) -> StoredAuthority:
    """With the orders from that root on which was pinned when the host joined.

    An authority may have been founded anew under its old name: what the old one ordered is no
    order of this one.
    """
    pinned = b"" if token is None else token.trust_root_digest
    if stored.admitted and stored.enrolment is not None:
        pinned = decode_enrolment(stored.enrolment.payload).trust_root_digest
    orders = tuple(dropwhile(lambda one: one.envelope.digest != pinned, stored.orders))
    return stored if stored.admitted and not orders else replace(stored, orders=orders)


def needless_sequence(authorities: Iterable[Authority]) -> int:
    """Up to which report no authority that was asked for admission needs the chain any more."""
    asked = [one.acknowledged_sequence for one in authorities if one.enrolment is not None]
    return min(asked, default=0)


def admitted(authorities: Iterable[Authority]) -> list[Authority]:
    """Those that admitted this host."""
    return [one for one in authorities if one.admitted]
