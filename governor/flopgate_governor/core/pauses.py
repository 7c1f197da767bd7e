"""Pauses in force: which concern whom, and when one lapses (law 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flopgate_proto.orders.held import LatchedPause
from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_proto.values.orders import Pause


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
    pauses: tuple[LatchedPause, ...], running_ms: int, told_ms: Mapping[bytes, int], unix_ms: int
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
        if held.lapse_ms is None
        or running_ms < told_ms.get(held.digest, running_ms) + held.lapse_ms
        or unix_ms < held.since_ms + held.lapse_ms
    )
