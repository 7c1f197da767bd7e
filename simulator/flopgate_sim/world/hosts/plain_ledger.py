"""A gate's ledger without a file, for worlds in which no fault touches a gate's disk.

To a gate it is as the one of production (`tests/unit/test_plain_ledger.py` holds the two equal):
what is kept comes back, in the same order, and the same is refused. It outlives every run of its
gate, as a disk does that loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flopgate_agent.gate.actions import (
    Keep,
    KeepEnrolment,
    KeepLicenses,
    KeepOrder,
    KeepQuote,
    KeepReport,
    KeepTime,
)
from flopgate_agent.gate.memory import (
    LastReport,
    Memory,
    StoredAuthority,
    StoredLicenses,
    StoredOrder,
)
from flopgate_agent.ledger import out_of_order
from flopgate_agent.ledger_bounds import KEEP_ACKNOWLEDGED
from flopgate_agent.ledger_rows import quoted_batches
from flopgate_proto.codec import PayloadType, decode_chip_row, decode_report, envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Scope
from flopgate_sim.world.nature.durable import Durable


@dataclass(slots=True)
class PlainLedger:
    """What `Ledger` does, in dictionaries."""

    _reports: dict[int, KeepReport] = field(default_factory=dict)
    _last: int = 0
    _authorities: dict[str, StoredAuthority] = field(default_factory=dict)
    _orders: dict[str, dict[bytes, StoredOrder]] = field(default_factory=dict)
    _scopes: dict[str, frozenset[Scope]] = field(default_factory=dict)
    _roots: dict[str, dict[int, Envelope]] = field(default_factory=dict)
    _licenses: StoredLicenses | None = None

    @property
    def durable(self) -> Durable:
        """All that was kept."""
        return Durable(
            sequence=self._last,
            asked=bool(self._authorities),
            admitted=any(one.admitted for one in self._authorities.values()),
            orders=frozenset(digest for kept in self._orders.values() for digest in kept),
        )

    def close(self) -> None:
        """A run of the gate ends: there is nothing to close."""

    def keep(self, action: Keep) -> None:
        """Keep one thing.

        Raises:
            HistoryError: the report does not follow the last one.
        """
        match action:
            case KeepReport():
                if self._last and action.sequence != self._last + 1:
                    raise out_of_order(action.sequence, self._last)
                self._reports[action.sequence] = action
                self._last = action.sequence
            case KeepOrder():
                orders = self._orders.setdefault(action.authority, {})
                orders.setdefault(
                    action.digest,
                    StoredOrder(
                        envelope=action.envelope,
                        first_seen_running_ms=action.first_seen_running_ms,
                    ),
                )
            case KeepQuote():
                self._keep_quote(action)
            case KeepEnrolment():
                self._keep_enrolment(action)
            case KeepLicenses():
                self._licenses = StoredLicenses(number=action.number, row=action.row)
            case KeepTime():
                known = self._authorities[action.authority]
                self._authorities[action.authority] = replace(known, time=action.time)

    def _keep_quote(self, action: KeepQuote) -> None:
        self._add_scopes(action)
        known = self._authorities.get(action.authority)
        if known is not None:
            self._authorities[action.authority] = StoredAuthority(
                name=known.name,
                orders=known.orders,
                quote=action.quote if action.quote.answer_digest else None,
                batch_digest=action.batch_digest,
                batch_root=action.batch_root,
                acknowledged_sequence=action.acknowledged_sequence,
                enrolment=known.enrolment,
                asked=known.asked,
                admitted=known.admitted,
                scopes=known.scopes,
                time=action.time or known.time,
                named_policy=action.named_policy,
                heard_running_ms=_heard(action, known),
            )
        # Their numbers only grow, so that the oldest is the first.
        roots = self._roots.setdefault(action.authority, {})
        roots.setdefault(action.quote.batch_number, action.batch_root)
        if len(roots) > KEEP_ACKNOWLEDGED:
            del roots[next(iter(roots))]
        needless = min(action.needless_sequence, action.held_sequence) - KEEP_ACKNOWLEDGED
        while self._reports and (oldest := next(iter(self._reports))) <= needless:
            del self._reports[oldest]

    def _keep_enrolment(self, action: KeepEnrolment) -> None:
        known = self._authorities.get(action.authority) or StoredAuthority(name=action.authority)
        self._authorities[action.authority] = replace(
            known,
            enrolment=action.envelope,
            asked=action.asked,
            admitted=action.admitted,
            acknowledged_sequence=action.acknowledged_sequence,
            time=action.time or known.time,
            heard_running_ms=_heard(action, known),
            named_policy=action.named_policy,
        )
        self._add_scopes(action)

    def _add_scopes(self, action: KeepQuote | KeepEnrolment) -> None:
        known = self._scopes.get(action.authority, frozenset())
        if known is not action.scopes:
            self._scopes[action.authority] = known | action.scopes

    def batch_roots(self, authority: str) -> list[Envelope]:
        """Signed roots of the batches of this authority that are kept."""
        return list(self._roots.get(authority, {}).values())

    def load(self) -> Memory:
        """Everything that outlives a run."""
        return Memory(
            authorities=tuple(
                replace(
                    one,
                    orders=tuple(self._orders.get(name, {}).values()),
                    scopes=self._scopes.get(name, frozenset()),
                )
                for name, one in sorted(self._authorities.items())
            ),
            last=self._last_report(),
            oldest_sequence=next(iter(self._reports), 0),
            licenses=self._licenses,
        )

    def _last_report(self) -> LastReport | None:
        if not self._reports:
            return None
        kept = self._reports[self._last]
        return LastReport(
            report=decode_report(kept.envelope.payload),
            digest=kept.digest,
            rows=tuple(decode_chip_row(row) for _, row in kept.rows),
            final=kept.envelope.payload_type == PayloadType.RETIREMENT,
        )

    def reports(self, from_sequence: int, limit: int) -> list[tuple[int, pb.SignedReport]]:
        """Reports from a sequence on, as they leave."""
        first = max(from_sequence, next(iter(self._reports), self._last + 1))
        return [
            (sequence, self._signed(self._reports[sequence].envelope))
            for sequence in range(first, min(self._last, first + limit - 1) + 1)
        ]

    def _signed(self, envelope: Envelope) -> pb.SignedReport:
        signed = pb.SignedReport(envelope=envelope_to_wire(envelope))
        for name, number in quoted_batches(envelope.payload):
            root = self._roots.get(name, {}).get(number)
            if root is not None:
                signed.quoted_roots.append(envelope_to_wire(root))
        return signed


def _heard(action: KeepQuote | KeepEnrolment, known: StoredAuthority) -> int:
    return known.heard_running_ms if action.time is None else action.time.at.running_ms
