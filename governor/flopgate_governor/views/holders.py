"""Who holds what of a budget: its lanes and its silent hosts, read from the store."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from flopgate_governor.core.facts import LaneFacts, Totals, lane_scopes
from flopgate_governor.silences import look
from flopgate_governor.state import State, read_hosts
from flopgate_governor.store import records, schema
from flopgate_governor.store.budgets import load_books


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneShare:
    """What one lane holds of a budget."""

    host_id: bytes
    cluster: str
    lane: LaneFacts

    @property
    def granted_tflop(self) -> int:
        """Spent of grants, and still out."""
        return self.lane.settled_tflop + self.lane.outstanding_tflop


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentHost:
    """A host that says nothing, and what it counts beyond its grants."""

    host_id: bytes
    seen_unix_ms: int
    charged_tflop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetExplained:
    """A budget at one moment.

    Attributes:
        cap_tflop: ``None`` where the policy sets none.
        shares: lanes in the scope, those that hold most first.
    """

    scope: str
    unix_ms: int
    cap_tflop: int | None
    totals: Totals
    silent_tflop: int
    shares: list[LaneShare]
    silent: list[SilentHost]

    @property
    def upper_tflop(self) -> int:
        """The most that can have been computed, and be computed before the next grant."""
        return self.totals.used_tflop + self.silent_tflop


def explain(state: State, scopes: list[str]) -> list[BudgetExplained]:
    """These scopes as they stand.

    Raises:
        StorageError: the store cannot be read.
    """
    unix_ms = state.now_ms()
    with state.store.transaction() as connection:
        ids = [row[0] for row in connection.execute(select(schema.host.c.host_id))]
        hosts = {host.host_id: host for host in read_hosts(connection, ids, state.clusters.kin)}
        chains = records.load_chains(connection, hosts)
        books = load_books(connection, scopes)
        silence = look(connection, state, unix_ms)
    found = []
    for scope in scopes:
        shares = [
            LaneShare(host_id=host_id, cluster=hosts[host_id].cluster, lane=lane)
            for host_id, chain in chains.items()
            for workload, lane in chain.lanes.items()
            if scope in lane_scopes(hosts[host_id], workload)
        ]
        found.append(
            BudgetExplained(
                scope=scope,
                unix_ms=unix_ms,
                cap_tflop=state.budgets.get(scope),
                totals=books.of(scope),
                silent_tflop=silence.charged_tflop(scope, unix_ms),
                shares=sorted(shares, key=lambda one: (-one.granted_tflop, one.host_id)),
                silent=[
                    SilentHost(
                        host_id=host.host_id,
                        seen_unix_ms=host.seen_unix_ms,
                        charged_tflop=host.charged_tflop(scope, unix_ms),
                    )
                    for host in silence.hosts(unix_ms)
                    if scope in host.outstanding_tflop
                ],
            )
        )
    return found
