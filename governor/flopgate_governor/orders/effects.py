"""What an order would do, by the code that takes orders and decides, on a copy of the store.

The order is taken as if enough officers had signed it. Each lane is judged by its newest report on
record as if it asked for as much as it can do, each by itself, before the order and once it is in
force.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy import Connection, and_, select

from flopgate_governor.clocks import Clocks
from flopgate_governor.core.decide import Asked, decide
from flopgate_governor.core.facts import ENDED, lane_scopes
from flopgate_governor.core.lineage import keys
from flopgate_governor.core.pauses import not_lapsed, pauses_for
from flopgate_governor.files import Layout, read_signing_key
from flopgate_governor.orders.accepting import accept_order, ripen
from flopgate_governor.orders.drafts import encoded
from flopgate_governor.silences import listen
from flopgate_governor.state import State, open_state, read_hosts
from flopgate_governor.store import records, schema
from flopgate_governor.store.budgets import load_books
from flopgate_governor.store.database import Store, copy_store
from flopgate_governor.store.prepared import Query
from flopgate_proto.amounts import counted, date_text, flop_text
from flopgate_proto.codec import decode_report
from flopgate_proto.envelope import Envelope, Verified, seal
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.loosening import loosened
from flopgate_proto.phases import phase_at
from flopgate_proto.trust import Trust
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.answers import Refusal
from flopgate_proto.values.common import Phase
from flopgate_proto.values.orders import Order

HOSTS_SHOWN: Final = 8
"""Hosts that people are shown by their numbers; programs get all."""

_H, _R = schema.host.c, schema.report.c
_NEWEST: Final = Query(
    select(_H.host_id, _R.envelope)
    .join(schema.report, and_(_R.host_id == _H.host_id, _R.sequence == _H.sequence))
    .order_by(_H.cluster, _H.host_id)
)

Lane = tuple[bytes, str]
"""Of which host, and for which workload."""


class _AsIfSigned(Trust):
    """A root under which whatever is brought counts as signed by all who could."""

    __slots__ = ()

    def _signed(self, envelope: Envelope, role: str) -> Verified:
        signers = frozenset(self._keys[role])
        return Verified(envelope.payload_type, envelope.payload, envelope.digest, signers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one lane would be told now; ``refused`` is the reason, empty where it is granted."""

    cluster: str
    refused: str
    phase: Phase

    @property
    def stands(self) -> bool:
        """Whether it is stopped; else what refuses is told only."""
        return bool(self.refused) and self.phase is Phase.ENFORCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A capped budget, in TFLOP: both books, what is outstanding and what is silent are used."""

    cap_tflop: int
    used_tflop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """How all lanes and budgets stand, the latter by scope in words."""

    lanes: dict[Lane, Judged]
    budgets: dict[str, Spent]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What an order does.

    Attributes:
        loosens: what becomes looser, in words.
        due_unix_ms: when it would come into force; ``None`` where it does not wait.
        before, after: it is in force.
    """

    loosens: tuple[str, ...]
    due_unix_ms: int | None
    before: Standings
    after: Standings


def rehearse_order(layout: Layout, order: Order, clocks: Clocks) -> Effects:
    """What an order would do if it were submitted now, by these clocks.

    Raises:
        PeerError: it would be refused.
        ConfigError, StorageError: keys or store cannot be read.
    """
    with TemporaryDirectory(prefix="flopgate-order-") as folder:
        copy = Path(folder) / "governor.sqlite"
        copy_store(layout.store, copy)
        permit, log = read_signing_key(layout.permit_key), read_signing_key(layout.log_key)
        state = open_state(Store(copy), permit, log, clocks)
        try:
            return effects(state, order)
        finally:
            state.store.close()


def effects(state: State, order: Order) -> Effects:
    """What an order does to this state, which takes it.

    Raises:
        PeerError: it is refused.
    """
    ripen(state)
    before = _standings(state)
    kind, payload = encoded(order)
    # Somebody must sign a statement; who did is not asked.
    envelope = seal(kind, payload, [state.permit])
    held = state.book.orders
    trust = _AsIfSigned(held.trust.root, held.trust.digest, held.trust.envelope, held.trust.revoked)
    held = replace(held, trust=trust)
    waits = held.accept(envelope, state.now_ms()).book.waits(envelope.digest)
    why = loosened(order, held.in_force)
    # What it does is seen once it is in force.
    policy = None if held.policy is None else replace(held.policy, loosening_delay_ms=0)
    state.take_book(replace(state.book, orders=replace(held, policy=policy)))
    accept_order(state, envelope)
    return Effects(
        loosens=why,
        due_unix_ms=None if waits is None else waits.due_ms,
        before=before,
        after=_standings(state),
    )


def _standings(state: State) -> Standings:
    at_unix_ms = state.now_ms()
    with state.store.transaction() as connection:
        silence = listen(connection, state, at_unix_ms)
        books = load_books(connection, state.budgets)
        return Standings(
            lanes=dict(_lanes(connection, state, at_unix_ms)),
            budgets={
                scope: Spent(
                    cap_tflop=cap,
                    used_tflop=books.of(scope).used_tflop
                    + silence.charged_tflop(scope, at_unix_ms),
                )
                for scope, cap in state.budgets.items()
            },
        )


def _lanes(connection: Connection, state: State, at_unix_ms: int) -> Iterator[tuple[Lane, Judged]]:
    reports = {
        row[0]: decode_report(pb.Envelope.FromString(row[1]).payload)
        for row in _NEWEST.run(connection)
    }
    read = read_hosts(connection, list(reports), state.clusters.kin)
    chains = records.load_chains(connection, {host.host_id: host for host in read})
    told = records.load_told(connection, list(reports))
    works, orders = state.book.orders.works, state.book.orders
    asking = [(chains[host_id], lane) for host_id, one in reports.items() for lane in one.lanes]
    scopes = {
        scope
        for chain, lane in asking
        for scope in (
            *lane_scopes(chain.facts.host, lane.workload),
            *keys(works, chain.facts.host.custodian, lane.workload),
        )
    }
    books = load_books(connection, scopes)
    standing = state.standing(at_unix_ms, listen(connection, state, at_unix_ms))
    rules = () if orders.policy is None else orders.policy.phases
    for chain, lane in asking:
        facts = chain.facts
        if not lane.chips or facts.refused_reason in ENDED:
            continue
        pauses = not_lapsed(
            pauses_for(orders.pauses, facts.host.scopes, [lane.workload]),
            facts.running_ms,
            told.get(facts.host.host_id, {}),
            at_unix_ms,
        )
        verdict = decide(
            Asked(lane=lane, facts=chain.lanes[lane.workload], headroom_tflop=COUNT_MAX),
            host=facts,
            pauses=pauses,
            stale=False,
            books=books,
            standing=standing,
        )
        outcome = verdict.outcome
        yield (
            (facts.host.host_id, lane.workload),
            Judged(
                cluster=facts.host.cluster,
                refused=outcome.reason if isinstance(outcome, Refusal) else "",
                phase=phase_at(rules, facts.host.scopes, at_unix_ms),
            ),
        )


def effect_lines(done: Effects) -> list[str]:
    """For people."""
    lines = [f"loosens: {what}" for what in done.loosens]
    if done.due_unix_ms is not None:
        lines.append(f"would wait until {date_text(done.due_unix_ms)}, and then, as things stand:")
    elif done.loosens:
        lines.append("would not wait: no delay is set")
    found = [*_lane_lines(done), *_budget_lines(done)]
    return [*lines, *(found or ["no lane stops or goes on by it, and no budget changes"])]


def effect_document(done: Effects) -> dict[str, object]:
    """For programs, in whole TFLOP."""
    return {
        "loosens": list(done.loosens),
        "due_unix_ms": done.due_unix_ms,
        "lanes": [
            {
                "effect": effect,
                "cluster": cluster,
                "reason": reason,
                "lanes": [{"host": host.hex(), "workload": name} for host, name in lanes],
            }
            for (effect, cluster, reason), lanes in _moved(done).items()
        ],
        "budgets": [
            {
                "scope": scope,
                "cap_tflop": None if spent is None else spent.cap_tflop,
                "used_tflop": None if spent is None else spent.used_tflop,
            }
            for scope, spent in _changed(done)
        ],
    }


def _moved(done: Effects) -> dict[tuple[str, str, str], list[Lane]]:
    """Lanes that stop, go on, end, or are only told of, by cluster and reason."""
    found: dict[tuple[str, str, str], list[Lane]] = defaultdict(list)
    for lane, after in done.after.lanes.items():
        before = done.before.lanes.get(lane)
        stood = before is not None and before.stands
        if after.stands and not stood:
            found["stops", after.cluster, after.refused].append(lane)
        elif stood and not after.stands:
            found["goes on", after.cluster, after.refused].append(lane)
        elif after.refused and not after.stands and before is not None and not before.refused:
            found["told", after.cluster, after.refused].append(lane)
    for lane, before in done.before.lanes.items():
        if lane not in done.after.lanes:
            found["ends", before.cluster, ""].append(lane)
    return found


_SAID: Final = {
    "stops": "stops",
    "goes on": "lets go on",
    "told": "would stop, if enforced,",
    "ends": "ends for good",
}


def _lane_lines(done: Effects) -> Iterator[str]:
    for (effect, cluster, reason), lanes in _moved(done).items():
        hosts = list(dict.fromkeys(host for host, _ in lanes))
        shown = ", ".join(host.hex()[:16] for host in hosts[:HOSTS_SHOWN])
        more = len(hosts) - HOSTS_SHOWN
        yield (
            f"{_SAID[effect]} {counted(len(lanes), 'lane')} on {counted(len(hosts), 'host')} of "
            f"cluster {cluster}{f', {reason}' if reason else ''}: {shown}"
            f"{f' and {more} more' if more > 0 else ''}"
        )


def _changed(done: Effects) -> Iterator[tuple[str, Spent | None]]:
    """Budgets that an order changes, as they are then; ``None``: it is there no more."""
    for scope in dict.fromkeys((*done.before.budgets, *done.after.budgets)):
        after = done.after.budgets.get(scope)
        if after != done.before.budgets.get(scope):
            yield scope, after


def _budget_lines(done: Effects) -> Iterator[str]:
    for scope, after in _changed(done):
        before = done.before.budgets.get(scope)
        was = "no budget" if before is None else _words(before)
        now = "no budget" if after is None else _words(after)
        yield f"budget {scope}: {was} -> {now}"


def _words(spent: Spent) -> str:
    left = "" if spent.used_tflop < spent.cap_tflop else ", nothing left"
    return f"{flop_text(spent.used_tflop)} of {flop_text(spent.cap_tflop)} used{left}"
