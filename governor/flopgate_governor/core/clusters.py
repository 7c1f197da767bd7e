"""What is known of clusters: declared ones, what their hosts told last, and which are one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from flopgate_governor.core.claims import SUBNET, Claim
from flopgate_governor.core.kinship import kin_by_name, united
from flopgate_proto.values.merges import MergeState
from flopgate_proto.values.orders import LINK_MBIT_PER_S, ClusterRuling

WORDS: Final = 2
"""Hosts of a cluster that must name what it shares, unless it has fewer."""


IN_FORCE: Final = frozenset({MergeState.FOUND, MergeState.RULED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Two declared clusters are one, or would be.

    Attributes:
        a, b: as declared, ``a < b``.
        key: what both name (`Claim`), or ``ruling:DIGEST``.
        why: it waits: ``custodians``, ``sites``, ``one-word`` or ``ruled-apart``; else empty.
        reports: host and sequence of the report that it rests on, one of each end; none of a
            ruling.
        order: digest of the ruling that decided last, or empty.
    """

    a: str
    b: str
    key: str
    state: MergeState
    why: str = ""
    reports: tuple[tuple[bytes, int], ...] = ()
    order: bytes = b""

    @property
    def place(self) -> tuple[str, str, str]:
        """What tells it from others."""
        return (self.a, self.b, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What tokens and enrolments say of one cluster."""

    hosts: int = 0
    custodians: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a host told last that it shares, in the report with this sequence."""

    host_id: bytes
    cluster: str
    sequence: int
    claims: tuple[Claim, ...]


NOBODY: Final = Declared()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """All that is known of it. Immutable: a transaction that fails changed nothing.

    Attributes:
        link_mbit_per_s: links above it count.
        told: the newest of each host, by its id.
        ends: hosts that name a fabric or a subnet, by that and by their cluster.
        kin: by declared name, all names that are one with it; absent where it stands alone.
        fences: digest of the ruling by which a cluster stands apart, by its name.
    """

    link_mbit_per_s: int = LINK_MBIT_PER_S
    declared: Mapping[str, Declared] = field(default_factory=dict)
    told: Mapping[bytes, Told] = field(default_factory=dict)
    ends: Mapping[str, Mapping[str, frozenset[bytes]]] = field(default_factory=dict)
    merges: Mapping[tuple[str, str, str], Merge] = field(default_factory=dict)
    kin: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fences: Mapping[str, bytes] = field(default_factory=dict)

    def enrolled(self, cluster: str, custodian: str, site: str) -> Clusters:
        """One more host was declared to be in a cluster."""
        before = self.declared.get(cluster, NOBODY)
        after = Declared(
            hosts=before.hosts + 1,
            custodians=before.custodians | {custodian},
            sites=before.sites | {site},
        )
        return replace(self, declared={**self.declared, cluster: after})

    def heard(self, told: Iterable[Told]) -> Clusters:
        """What hosts told takes the place of what they told before; nothing is concluded."""
        known = dict(self.told)
        moved: dict[tuple[str, str], set[bytes]] = {}

        def end(key: str, cluster: str) -> set[bytes]:
            place = (key, cluster)
            if place not in moved:
                moved[place] = set(self.ends.get(key, {}).get(cluster, ()))
            return moved[place]

        for one in told:
            before = known.get(one.host_id)
            known[one.host_id] = one
            old = frozenset() if before is None else self._keys(before)
            new = self._keys(one)
            for key in old - new:
                end(key, one.cluster).discard(one.host_id)
            for key in new - old:
                end(key, one.cluster).add(one.host_id)
        ends = dict(self.ends)
        for (key, cluster), hosts in moved.items():
            ends[key] = {**ends.get(key, {}), cluster: frozenset(hosts)}
        return replace(self, told=known, ends=ends)

    def _keys(self, told: Told) -> frozenset[str]:
        """What of it is fast enough to count."""
        return frozenset(
            claim.key
            for claim in told.claims
            if claim.rate_mbit_per_s is None or claim.rate_mbit_per_s > self.link_mbit_per_s
        )

    def merged(self, *merges: Merge) -> Clusters:
        """With these merges, in place of those of the same place."""
        if not merges:
            return self
        kept = {**self.merges, **{merge.place: merge for merge in merges}}
        pairs = ((one.a, one.b) for one in kept.values() if one.state in IN_FORCE)
        return replace(self, merges=kept, kin=kin_by_name(pairs))

    def naming(self, key: str) -> list[str]:
        """Clusters whose hosts name a fabric or subnet now, sorted."""
        return sorted(name for name, hosts in self.ends.get(key, {}).items() if hosts)

    def well_told(self, key: str, name: str) -> bool:
        """Whether more than one host's word stands behind it."""
        words = len(self.ends[key][name])
        return words >= WORDS or words >= self.declared.get(name, NOBODY).hosts

    def party(self, key: str, name: str) -> tuple[frozenset[str], ...]:
        """Within which its hosts are believed: its custodian; of a subnet, with its site."""
        one = self.declared.get(name, NOBODY)
        return (one.custodians, one.sites) if key.startswith(SUBNET) else (one.custodians,)

    def fences_of(self, name: str) -> frozenset[bytes]:
        """Rulings that keep a cluster, and all that are one with it, from others; b"" for none."""
        return frozenset(self.fences.get(one, b"") for one in united(self.kin, name))

    def waiting(self) -> list[Merge]:
        """Merges that officers should look at."""
        return [
            merge
            for merge in self.merges.values()
            if merge.state is MergeState.WAITING and merge.b not in united(self.kin, merge.a)
        ]


def fenced(fences: Mapping[str, bytes], ruling: ClusterRuling, digest: bytes) -> dict[str, bytes]:
    """The fences after one more ruling: it puts one around its clusters, or takes theirs away."""
    if ruling.apart:
        return {**fences, **dict.fromkeys(ruling.clusters, digest)}
    return {name: fence for name, fence in fences.items() if name not in ruling.clusters}
