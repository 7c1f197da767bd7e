"""One authority as this gate sees it: its trust, orders in force, and what it granted last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import dropwhile

from flopgate_agent.gate.authorities.license import LicenseDesk
from flopgate_agent.gate.authorities.officers import OfficerOrders
from flopgate_agent.gate.authorities.told_time import ClockBound, ToldTime
from flopgate_agent.gate.memory import Moment, StoredAuthority, StoredTime
from flopgate_agent.gate.settings import GateToken
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.codec import decode_enrolment
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import MisdirectedError
from flopgate_proto.orders.held import lapsed
from flopgate_proto.quick import maker
from flopgate_proto.values import (
    Phase,
    Quote,
    Refusal,
    Scope,
)

make_clock_bound = maker(ClockBound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What one answer granted. Lives in memory only, dies with this run of the gate.

    Attributes:
        made_ms: when the request was made; the lifetime counts from here (law 1).
        ceilings: teraFLOP by workload; a workload that is not here was refused.
        phase: as the authority worked it out from the policy of ``policy_version``.
        signers: ids of the online keys that signed it.
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
    signers: frozenset[str]


class Authority(OfficerOrders):
    """State of one authority; changes only through verified orders and answers.

    Attributes:
        quote: of the newest answer; a report says it as ``quote_at`` does.
        quote_signers: ids of the online keys that signed it.
        quoted_ms: when this run took that answer, in host elapsed time; 0: an earlier run did.
        permit: the newest grant, while no newer answer refused.
        acknowledged_sequence: it needs no report up to here: it has them, or follows the chain
            from the one after.
        enrolment, asked: newest statement, and digests of those that an answer may still name.
        granted: by workload, the newest grant that was accepted for it; it outlives a refusal,
            for the authority holds it outstanding until it expires (law 2).
        last_answer: the report whose request was answered last, and that answer, for the next run.
        ruled_sequence: of the newest report of this run whose request was answered; 0: of none.
        told_time: what its signed answers say of the time, ``None`` before the admission.
        heard_running_ms: gate running time of its last signed word, no earlier; ``None``: unknown.
        lost_say: whether its own fallback took its say, as far as that was told.
        desk, reserve_desk: the license and the reserve that it gave, if it did.
    """

    def __init__(self, stored: StoredAuthority) -> None:
        super().__init__(stored.name, admitted=stored.admitted)
        self.quote = stored.quote or Quote(authority=stored.name)
        self.quoted_ms = 0
        self._grants = [(0, self.quote.grant)]
        self.batch_digest = stored.batch_digest
        self.acknowledged_sequence = stored.acknowledged_sequence
        self.enrolment = stored.enrolment
        self.asked = stored.asked
        self.told_time: ToldTime | None = None
        self._stored_time = stored.time
        self._clock_bound: ClockBound | None = None
        self.heard_running_ms = None if stored.time is None else stored.heard_running_ms
        self.lost_say = False
        self.desk = LicenseDesk()
        self.reserve_desk = LicenseDesk(is_reserve=True)
        self.scopes = stored.scopes
        self._said_scopes: tuple[Scope, ...] = ()
        self.permit: Permit | None = None
        self.granted: dict[str, Permit] = {}
        self.last_answer: tuple[Envelope, ProvenAnswer] | None = None
        self.ruled_sequence = 0
        self.refusals: dict[str, Refusal] = {}
        self.next_request_ms = 0
        self.asked_ms = 0
        self.retry_ms = 0
        self.note_policy(stored.named_policy)
        for order in stored.orders:
            self.restore(order.envelope, order.first_seen_running_ms)
        root = stored.batch_root
        # Of one number the ledger keeps the first root that came, which may be a thief's.
        quoted = root is not None and root.digest == stored.batch_digest
        self.quote_signers = self.signers_of(root) if root and quoted else frozenset()

    @property
    def newest_number(self) -> int:
        """Answers of lower batches are older; 0 where the newest is under revoked keys alone.

        What a thief made up would else keep out whatever the authority signs with its next key.
        """
        signers = self.quote_signers
        disowned = bool(signers) and self.is_revoked(signers)
        return 0 if disowned else self.quote.batch_number

    def note_grant(self, digest: bytes, now_ms: int) -> None:
        """A grant is in use from now on."""
        self._grants.append((now_ms, digest))

    def note_revoked(self, now_ms: int) -> None:
        """A key was revoked: a permit that it signed ends a lifetime from now at the latest.

        Work goes on until the next key renews it; an exemption of a day would outlast its signer.
        """
        held, policy = self.permit, self.policy
        if held is None or policy is None or not self.is_revoked(held.signers):
            return
        lifetime_ms = min(held.lifetime_ms, now_ms - held.made_ms + policy.lifetime_ms)
        self.permit = replace(
            held,
            lifetime_ms=lifetime_ms,
            wind_down_ms=min(held.wind_down_ms, policy.wind_down_ms),
        )

    def quote_at(self, end_ms: int) -> Quote:
        """What a report quotes whose figures go up to ``end_ms``.

        Naming a grant frees what the older ones left: it is named once the figures show all that
        was done under those (law 2).
        """
        while len(self._grants) > 1 and self._grants[1][0] <= end_ms:
            del self._grants[0]
        quote, grant = self.quote, self._grants[0][1]
        licensed, reserve = self.desk.quote_at(end_ms), self.reserve_desk.quote_at(end_ms)
        if quote.grant == grant and licensed is None and reserve is None:
            return quote
        return replace(quote, grant=grant, license=licensed, reserve=reserve)

    @property
    def desks(self) -> tuple[LicenseDesk, LicenseDesk]:
        """Of licenses and of reserves, in the order in which they are spent."""
        return (self.desk, self.reserve_desk)

    def desk_of(self, *, reserve: bool) -> LicenseDesk:
        """The desk of this kind."""
        return self.reserve_desk if reserve else self.desk

    def resume_time(self, now: Moment, least_running_ms: int = 0) -> None:
        """Go on from the time that the ledger knows; see `ToldTime.resumed`."""
        if self._stored_time is not None:
            stored, at = self._stored_time, self._stored_time.at
            self.told_time = ToldTime.resumed(stored, now, least_running_ms)
            if at.boot_id == now.boot_id:
                after_ms = stored.latest_unix_ms - at.elapsed_ms
                self._clock_bound = ClockBound(after_ms=after_ms, at_ms=at.elapsed_ms)

    def time_to_keep(self, now: Moment) -> StoredTime | None:
        """The time as it was told, for the ledger."""
        return None if self.told_time is None else self.told_time.stored(now)

    def hear_clock(self, unix_ms: int, *, made_ms: int, received_ms: int) -> int:
        """An answer bounds the boot clock: by how many ms it is behind, or 0; see `ClockBound`."""
        told = make_clock_bound(after_ms=unix_ms - made_ms, at_ms=received_ms)
        known = self._clock_bound
        behind_ms = 0 if known is None else known.behind_ms(unix_ms - received_ms, received_ms)
        # An answer that was long on its way bounds nothing better; one that accuses starts anew.
        if known is None or behind_ms or told.after_ms <= known.latest_after_ms(received_ms):
            self._clock_bound = told
        return behind_ms

    def hear_time(self, unix_ms: int, *, made_ms: int, received_ms: int) -> None:
        """A signed statement told the time, between these moments of host elapsed time."""
        self.told_time = ToldTime.heard(
            unix_ms, made_ms=made_ms, received_ms=received_ms, before=self.told_time
        )

    def falls_running_ms(self) -> int | None:
        """Gate running time from which its fallback counts, if it stays silent."""
        if self.seats is None or not self.seats.fallback_ms or self.heard_running_ms is None:
            return None
        return self.heard_running_ms + self.seats.fallback_ms

    def gave_way(self, running_ms: int) -> bool:
        """Whether its own word is not needed any more to take its say, by its fallback."""
        falls_ms = self.falls_running_ms()
        if falls_ms is None or running_ms < falls_ms or self.unseen_pauses:
            return False
        return all(lapsed(latched, running_ms) for latched in self.pauses)

    def hear_later(self, unix_ms: int, now_ms: int) -> None:
        """A signed statement says that it is no earlier than this; nothing else follows from it."""
        self.told_time = ToldTime.raised(unix_ms, now_ms, self.told_time)

    def note_scopes(self, scopes: tuple[Scope, ...]) -> None:
        """Scopes an answer names are added for good: leaving one lifts nothing (law 6)."""
        if scopes != self._said_scopes:
            self._said_scopes = scopes
            # Where none is new it stays the same set, by which the ledger knows it.
            if not self.scopes.issuperset(scopes):
                self.scopes = self.scopes.union(scopes)


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
    found = {
        name: Authority(known.get(name) or StoredAuthority(name=name))
        for name in sorted({*known, *tokens})
    }
    for name, token in tokens.items():
        found[name].named_roots = frozenset(token.later_trust_roots)
    return found


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


def known(authorities: Mapping[str, Authority], name: str) -> Authority:
    """The authority of this name.

    Raises:
        MisdirectedError: this host has not joined it.
    """
    authority = authorities.get(name)
    if authority is None:
        joined = ", ".join(authorities)
        raise MisdirectedError(
            f"this host knows no authority {name!r}; it joined {joined or 'none'}",
            code="authority.unknown",
            remedy="Compare the name; another authority's token is for `flopgate-agent join`."
            if joined
            else "Run `flopgate-agent join` with the token of that authority.",
        )
    return authority


def needless_sequence(authorities: Iterable[Authority]) -> int:
    """Up to which report no authority that was asked for admission needs the chain any more."""
    asked = [one.acknowledged_sequence for one in authorities if one.enrolment is not None]
    return min(asked, default=0)


def admitted(authorities: Iterable[Authority]) -> list[Authority]:
    """Those that admitted this host."""
    return [one for one in authorities if one.admitted]
