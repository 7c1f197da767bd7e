"""Bugs of how a governor finds clusters, and of what it gives to exempt ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flopgate_governor import working_set
from flopgate_governor.clusters import notices
from flopgate_governor.core import account, merging
from flopgate_governor.core.clusters import Clusters, Merge, Told
from flopgate_governor.core.facts import Grant, LaneFacts
from flopgate_proto.values.merges import MergeState
from flopgate_sim.planted.patching import Swap
from flopgate_sim.planted.worlds import POLICY


def declaration_believed() -> tuple[Swap, ...]:
    def deaf(clusters: Clusters, told: Iterable[Told]) -> Clusters:
        return clusters.heard(told)

    return (Swap(working_set, "learn", deaf),)


def neighbour_pulled_in() -> tuple[Swap, ...]:
    return (
        Swap(merging, "_doubt", lambda *_arguments: ""),
        Swap(Clusters, "party", lambda *_arguments: ()),
    )


def notice_unmade() -> tuple[Swap, ...]:
    """Of a merge that waits nothing can be said: an error beside the answers."""

    def hides(merge: Merge) -> bool:
        return {MergeState.FOUND: False, MergeState.RULED: False}[merge.state]

    return (Swap(notices, "hides_other", hides),)


def exempt_unescrowed() -> tuple[Swap, ...]:
    give = account.give

    def forgetful(lane: LaneFacts, grant: Grant) -> Any:
        return lane if grant.lifetime_ms == POLICY.exempt_lifetime_ms else give(lane, grant)

    return (Swap(account, "give", forgetful),)
