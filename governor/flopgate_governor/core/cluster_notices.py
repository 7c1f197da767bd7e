"""Which merges of clusters a host's people are told of, and when again. Pure.

Waiting ones first, and those in force: what officers ruled apart concerns nobody any more. Again
when something changed for its cluster, and every ten minutes: a gate that started anew knows none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flopgate_governor.core.clusters import IN_FORCE, Clusters, Merge
from flopgate_proto.values.merges import MergeState

EVERY_MS: Final = 600_000
PER_CLUSTER_MAX: Final = 16
"""Most merges that one host is told of: the first ones are enough to ask officers about."""


def hides_other(merge: Merge) -> bool:
    """Whether nobody at one end may know the other: a liar must not learn others' clusters."""
    return merge.state is MergeState.WAITING and merge.why == "custodians"


class ClusterNotices:
    """What each host was told last. In memory: the worst is that it is told twice."""

    def __init__(self) -> None:
        self._merges: Mapping[tuple[str, str, str], Merge] | None = None
        self._of: dict[str, tuple[Merge, ...]] = {}
        self._told: dict[bytes, tuple[tuple[Merge, ...], int]] = {}
        self.sealed: dict[tuple[str, Merge], bytes] = {}

    def due(
        self, clusters: Clusters, host_id: bytes, cluster: str, unix_ms: int
    ) -> tuple[Merge, ...]:
        """Merges of a host's cluster that it is told of now."""
        if clusters.merges is not self._merges:
            self._merges, self._of = clusters.merges, _by_cluster(clusters)
            self.sealed.clear()
        merges = self._of.get(cluster, ())
        if not merges:
            self._told.pop(host_id, None)
            return ()
        before, told_ms = self._told.get(host_id, ((), 0))
        if before == merges and unix_ms - told_ms < EVERY_MS:
            return ()
        self._told[host_id] = merges, unix_ms
        return merges

    def forget(self, host_id: bytes) -> None:
        """It is no host of ours any more."""
        self._told.pop(host_id, None)


def _by_cluster(clusters: Clusters) -> dict[str, tuple[Merge, ...]]:
    of: dict[str, list[Merge]] = {}
    in_force = [merge for merge in clusters.merges.values() if merge.state in IN_FORCE]
    for merge in (*clusters.waiting(), *in_force):
        for name in (merge.a, merge.b):
            of.setdefault(name, []).append(merge)
    return {name: tuple(merges[:PER_CLUSTER_MAX]) for name, merges in of.items()}
