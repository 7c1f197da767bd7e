"""Which declared clusters are one (DESIGN section 8): what hosts told, and what officers ruled.

What was declared with a join token holds together in any case. Beyond that:

1. Two declared clusters are found to be one when hosts of both name one fabric, or one subnet by
   ports above the policy's rate. One host's word is no end of a link: two hosts of a cluster must
   say so, or all that it has.
2. That alone counts only within one custodian, and of a subnet only within one of its sites: no
   custodian's hosts can say anything that makes another's cluster larger. All else waits for
   officers.
3. What was found stays, whatever hosts tell later: a cable that is pulled, or said to be, frees
   nobody. Officers rule that clusters stand apart. What they ruled on does not come back by itself:
   new evidence between the same sides waits for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Final

from flopgate_governor.core.claims import SUBNET
from flopgate_governor.core.clusters import (
    NOBODY,
    Clusters,
    Declared,
    Merge,
    Told,
    fenced,
)
from flopgate_governor.core.kinship import united
from flopgate_proto.errors import HistoryError
from flopgate_proto.values.merges import MergeState
from flopgate_proto.values.orders import LINK_MBIT_PER_S, ClusterRuling

WAITING_MAX: Final = 256
"""Most merges of one fabric or subnet that wait: the first ones are enough to look at."""


def known(
    *,
    link_mbit_per_s: int,
    declared: Mapping[str, Declared],
    told: Iterable[Told],
    merges: Iterable[Merge],
    fences: Mapping[str, bytes],
) -> Clusters:
    """From what is on record; a policy with another rate may find more."""
    bare = Clusters(
        link_mbit_per_s=link_mbit_per_s or LINK_MBIT_PER_S, declared=declared, fences=fences
    )
    heard = bare.merged(*merges).heard(told)
    return _find(heard, heard.ends)


def learn(clusters: Clusters, told: Iterable[Told]) -> Clusters:
    """Hosts told how they hang together."""
    new = tuple(told)
    return _find(clusters.heard(new), {claim.key for one in new for claim in one.claims})


def check_ruling(clusters: Clusters, ruling: ClusterRuling) -> None:
    """Look whether a ruling speaks of what there is.

    Raises:
        HistoryError: nobody was enrolled in one of these clusters.
    """
    for name in ruling.clusters:
        if name not in clusters.declared:
            raise HistoryError(
                f"no host was ever enrolled in cluster {name!r}",
                code="ruling.cluster-unknown",
                remedy="`flopgate-governor cluster list` names them.",
            )


def rule(clusters: Clusters, ruling: ClusterRuling, digest: bytes) -> Clusters:
    """Officers said what makes up a cluster."""
    clusters = replace(clusters, fences=fenced(clusters.fences, ruling, digest))
    if ruling.apart:
        return _take_apart(clusters, frozenset(ruling.clusters), digest)
    return _unite(clusters, sorted(ruling.clusters), digest)


# ---------------------------------------------------------------------- what hosts told


def _find(clusters: Clusters, keys: Iterable[str]) -> Clusters:
    """The merges that these fabrics and subnets show, beyond those that are known."""
    for key in sorted(keys):
        ends = clusters.naming(key)
        if len(ends) > 1:
            clusters = _find_waiting(_find_alone(clusters, key, ends), key, ends)
    return clusters


def _find_alone(clusters: Clusters, key: str, ends: list[str]) -> Clusters:
    """Rules 1 and 2: what needs no officer."""
    sides: dict[tuple[frozenset[str], ...], list[str]] = {}
    for name in ends:
        if not clusters.well_told(key, name):
            continue
        firsts = sides.setdefault(clusters.party(key, name), [])
        for first in firsts:
            if name in united(clusters.kin, first):
                break
            if not _doubt(clusters, key, first, name):
                clusters = clusters.merged(_merge(clusters, key, (first, name), MergeState.FOUND))
                break
        else:
            firsts.append(name)
    return clusters


def _find_waiting(clusters: Clusters, key: str, ends: list[str]) -> Clusters:
    """What is left: one merge between each two sides."""
    kin = clusters.kin
    sides = {united(kin, name): name for name in reversed(ends)}
    if len(sides) == 1:
        return clusters
    asked = {
        frozenset((united(kin, merge.a), united(kin, merge.b)))
        for merge in clusters.merges.values()
        if merge.state is MergeState.WAITING or merge.key == key
    }
    room = WAITING_MAX - sum(merge.key == key for merge in clusters.waiting())
    new = [
        _merge(clusters, key, (a, b), MergeState.WAITING)
        for a, b in combinations(sorted(sides.values()), 2)
        if frozenset((united(kin, a), united(kin, b))) not in asked
    ]
    return clusters.merged(*new[: max(room, 0)])


def _doubt(clusters: Clusters, key: str, a: str, b: str) -> str:
    """Why two clusters that name one thing are not simply one; empty where they are."""
    sides = united(clusters.kin, a), united(clusters.kin, b)
    parts = [clusters.declared.get(name, NOBODY) for side in sides for name in side]
    if len(frozenset[str]().union(*(one.custodians for one in parts))) != 1:
        return "custodians"
    sites = clusters.declared.get(a, NOBODY).sites | clusters.declared.get(b, NOBODY).sites
    if key.startswith(SUBNET) and len(sites) != 1:
        return "sites"
    if clusters.fences_of(a) != clusters.fences_of(b):
        return "ruled-apart"
    well_told = clusters.well_told(key, a) and clusters.well_told(key, b)
    return "" if well_told else "one-word"


def _merge(
    clusters: Clusters, key: str, pair: tuple[str, str], state: MergeState, order: bytes = b""
) -> Merge:
    a, b = sorted(pair)
    ends = clusters.ends.get(key)
    hosts = [] if ends is None else [min(ends[name]) for name in (a, b)]
    return Merge(
        a=a,
        b=b,
        key=key,
        state=state,
        why=_doubt(clusters, key, a, b) if state is MergeState.WAITING else "",
        reports=tuple((host_id, clusters.told[host_id].sequence) for host_id in hosts),
        order=order,
    )


# ---------------------------------------------------------------------- what officers ruled


def _unite(clusters: Clusters, names: list[str], digest: bytes) -> Clusters:
    key = f"ruling:{digest.hex()}"
    first, *others = names
    ruled = clusters.merged(
        *(_merge(clusters, key, (first, name), MergeState.RULED, digest) for name in others)
    )
    settled = [
        replace(merge, state=MergeState.RULED, why="", order=digest)
        for merge in clusters.waiting()
        if merge.b in united(ruled.kin, merge.a)
    ]
    return ruled.merged(*settled)


def _take_apart(clusters: Clusters, names: frozenset[str], digest: bytes) -> Clusters:
    cut = [
        replace(merge, state=MergeState.APART, why="", order=digest)
        for merge in clusters.merges.values()
        if (merge.a in names) != (merge.b in names)
    ]
    ruled = clusters.merged(*cut)
    # They know of everything that both sides name now: none of it is new evidence later.
    for key in clusters.ends:
        ends = clusters.naming(key)
        inside = {united(ruled.kin, name): name for name in ends if name in names}
        outside = {united(ruled.kin, name): name for name in ends if name not in names}
        ruled = ruled.merged(
            *(
                _merge(ruled, key, (a, b), MergeState.APART, digest)
                for a in inside.values()
                for b in outside.values()
            )
        )
    return _find(ruled, ruled.ends)
