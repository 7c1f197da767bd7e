"""Reports on record under another policy: read from a copy of the store, judged again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from flopgate_governor.core.facts import Books, HostFacts, Totals, lane_scopes
from flopgate_governor.core.lineage import Ground, key_of
from flopgate_governor.core.orders import Mandate
from flopgate_governor.core.replay import Outcome, Replay
from flopgate_governor.core.silence import NOBODY
from flopgate_governor.state import State
from flopgate_governor.store import records
from flopgate_governor.store.budgets import load_books
from flopgate_governor.views.workloads import Known, known_of
from flopgate_proto.codec import decode_report
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.orders import Policy
from flopgate_proto.values.reports import Report

_SPAN = """
SELECT report.host_id, report.envelope, batch.governor_unix_ms FROM report
JOIN batch ON batch.number = report.batch_number
WHERE batch.governor_unix_ms >= ? ORDER BY report.id
"""
_END = "SELECT coalesce(max(governor_unix_ms), 0) FROM batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """One span under one policy.

    Attributes:
        from_unix_ms, until_unix_ms: governor time of its first and last batch, at most.
        reports: so many were judged.
        outcomes: by cluster.
        budgets: by scope in words: totals at the end of the span.
        works: registered workloads, at the end of it.
    """

    policy: Policy
    from_unix_ms: int
    until_unix_ms: int
    reports: int
    outcomes: dict[str, Outcome]
    budgets: dict[str, Totals]
    works: tuple[Known, ...]


def rehearse(state: State, policy: Policy, span_ms: int) -> Rehearsed:
    """The last span on record under a policy; ``state`` is that of a copy, and takes the policy.

    Raises:
        StorageError: the store cannot be read.
    """
    orders = replace(state.book.orders, policy=policy)
    state.take_book(replace(state.book, orders=orders, halt=None, reconciled_unix_ms=None))
    with closing(sqlite3.connect(state.store.path)) as store:
        (until_unix_ms,) = store.execute(_END).fetchone()
        from_unix_ms = max(0, until_unix_ms - span_ms)
        hosts = _hosts(state, store, from_unix_ms)
        books = _books_before(state, store, hosts, from_unix_ms)
        standing = replace(state.standing(until_unix_ms), mandate=Mandate.GIVEN)
        replay = Replay(policy, standing, books)
        reports = 0
        for report, unix_ms in _reports(store, from_unix_ms):
            replay.feed(hosts[report.host_id], report, unix_ms)
            reports += 1
    return Rehearsed(
        policy=policy,
        from_unix_ms=from_unix_ms,
        until_unix_ms=until_unix_ms,
        reports=reports,
        outcomes=replay.outcomes,
        budgets={str(budget.scope): books.of(str(budget.scope)) for budget in policy.budgets},
        works=tuple(
            known_of(
                Ground(
                    works=state.book.orders.works,
                    policy=policy,
                    books=books,
                    silence=NOBODY,
                    unix_ms=until_unix_ms,
                )
            )
        ),
    )


def _reports(store: sqlite3.Connection, from_unix_ms: int) -> Iterator[tuple[Report, int]]:
    for _, envelope, unix_ms in store.execute(_SPAN, (from_unix_ms,)):
        yield decode_report(pb.Envelope.FromString(envelope).payload), unix_ms


def _hosts(state: State, store: sqlite3.Connection, from_unix_ms: int) -> dict[bytes, HostFacts]:
    ids = {row[0] for row in store.execute(_SPAN, (from_unix_ms,))}
    state.know(ids)
    hosts = {host_id: state.hosts[host_id].host for host_id in ids}
    with state.store.transaction() as connection:
        chains = records.load_chains(connection, hosts)
    return {host_id: replace(chain.facts, refused_reason="") for host_id, chain in chains.items()}


def _books_before(
    state: State, store: sqlite3.Connection, hosts: dict[bytes, HostFacts], from_unix_ms: int
) -> Books:
    """Totals as they were when the span began; nothing was outstanding then, as far as is told."""
    first: dict[tuple[bytes, str], tuple[int, int]] = {}
    grown: dict[str, list[int]] = {}
    last: dict[tuple[bytes, str], tuple[int, int]] = {}
    for report, _ in _reports(store, from_unix_ms):
        for lane in report.lanes:
            told = (lane.allotted_tflop, lane.unaccounted_tflop)
            first.setdefault((report.host_id, lane.workload), told)
            last[report.host_id, lane.workload] = told
    for (host_id, workload), end in last.items():
        start = first[host_id, workload]
        for scope in lane_scopes(hosts[host_id].host, workload):
            sums = grown.setdefault(scope, [0, 0])
            sums[0] += end[0] - start[0]
            sums[1] += end[1] - start[1]
    scopes = {*grown, *state.budgets, *map(key_of, state.book.orders.works.by_name.values())}
    with state.store.transaction() as connection:
        now = load_books(connection, scopes)
    totals = {}
    for scope in scopes:
        allotted, unaccounted = grown.get(scope, [0, 0])
        found = now.of(scope)
        totals[scope] = Totals(
            settled_tflop=max(0, found.settled_tflop - allotted),
            unaccounted_tflop=found.unaccounted_tflop - unaccounted,
        )
    return Books(totals)
