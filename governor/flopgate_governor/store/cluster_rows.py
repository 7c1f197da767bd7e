"""What is known of clusters, as it is stored: what each host told last, and merges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, func, select
from sqlalchemy.dialects.sqlite import insert

from flopgate_governor.core.claims import Claim, claims_of
from flopgate_governor.core.clusters import Clusters, Declared, Merge, Told
from flopgate_governor.core.facts import ENDED
from flopgate_governor.core.merging import known, learn
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query, Row, Write
from flopgate_governor.store.topologies import load_topologies
from flopgate_proto.values.merges import MergeState

_H, _T, _M = schema.host.c, schema.cluster_told.c, schema.cluster_merge.c
_HERE: Final = and_(*(_H.refused_reason != reason for reason in sorted(ENDED)))
_DECLARED: Final = Query(
    select(_H.cluster, _H.custodian, _H.site, func.count())
    .where(_HERE)
    .group_by(_H.cluster, _H.custodian, _H.site)
)
_TOLD: Final = Query(
    select(_T.host_id, _H.cluster, _T.sequence, _T.claims)
    .join(schema.host, _H.host_id == _T.host_id)
    .where(_HERE)
)
_UNREAD: Final = Query(
    select(_H.host_id, _H.cluster)
    .outerjoin(schema.cluster_told, _H.host_id == _T.host_id)
    .where(_HERE, _H.topology_sequence > func.coalesce(_T.sequence, 0))
)
_MERGES: Final = Query(select(schema.cluster_merge).order_by(_M.a, _M.b, _M.key))


def _upsert(table: Table, key: Sequence[str]) -> Write:
    statement = insert(table)
    values = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in key}
    return Write(statement.on_conflict_do_update(index_elements=list(key), set_=values))


_WRITE_TOLD: Final = _upsert(schema.cluster_told, ("host_id",))
_WRITE_MERGE: Final = _upsert(schema.cluster_merge, ("a", "b", "key"))


def load_clusters(
    connection: Connection, link_mbit_per_s: int, fences: Mapping[str, bytes]
) -> tuple[Clusters, list[Merge]]:
    """All that is on record, and what follows from it under this rate; what is new is written.

    With the merges that are new.
    """
    now, merges, unread = _read(connection, link_mbit_per_s, fences)
    return now, write_clusters(connection, {merge.place: merge for merge in merges}, now, unread)


def clusters_under(
    connection: Connection, link_mbit_per_s: int, fences: Mapping[str, bytes]
) -> Clusters:
    """The same, and nothing is written: a policy that nobody signed finds nothing for good."""
    return _read(connection, link_mbit_per_s, fences)[0]


def _read(
    connection: Connection, link_mbit_per_s: int, fences: Mapping[str, bytes]
) -> tuple[Clusters, list[Merge], list[Told]]:
    declared: dict[str, Declared] = {}
    for cluster, custodian, site, count in _DECLARED.run(connection):
        before = declared.get(cluster) or Declared()
        declared[cluster] = Declared(
            hosts=before.hosts + count,
            custodians=before.custodians | {custodian},
            sites=before.sites | {site},
        )
    told = [
        Told(host_id=row[0], cluster=row[1], sequence=row[2], claims=_claims(row[3]))
        for row in _TOLD.run(connection)
    ]
    merges = [_merge(row) for row in _MERGES.run(connection)]
    clusters = known(
        link_mbit_per_s=link_mbit_per_s,
        declared=declared,
        told=told,
        merges=merges,
        fences=fences,
    )
    unread = _unread(connection)
    return (learn(clusters, unread) if unread else clusters), merges, unread


def write_clusters(
    connection: Connection,
    before: Mapping[tuple[str, str, str], Merge],
    after: Clusters,
    told: Sequence[Told],
) -> list[Merge]:
    """Write what hosts told, and merges that are not as they were before; these."""
    _WRITE_TOLD.run(connection, [_told_row(one) for one in told])
    moved = [merge for place, merge in after.merges.items() if before.get(place) != merge]
    _WRITE_MERGE.run(connection, [_merge_row(merge) for merge in moved])
    return moved


def _unread(connection: Connection) -> list[Told]:
    """Hosts whose topology came while the software did not look at it."""
    hosts = dict(_UNREAD.run(connection))
    if not hosts:
        return []
    return [
        Told(
            host_id=host_id,
            cluster=hosts[host_id],
            sequence=sequence,
            claims=claims_of(topology),
        )
        for host_id, (sequence, topology) in load_topologies(connection).items()
        if host_id in hosts
    ]


def _told_row(told: Told) -> Row:
    claims = [
        claim.key if claim.rate_mbit_per_s is None else f"{claim.key}={claim.rate_mbit_per_s}"
        for claim in told.claims
    ]
    return {"host_id": told.host_id, "sequence": told.sequence, "claims": " ".join(claims)}


def _claims(text: str) -> tuple[Claim, ...]:
    parts = [word.partition("=") for word in text.split()]
    return tuple(
        Claim(key=key, rate_mbit_per_s=int(rate) if rate else None) for key, _, rate in parts
    )


def _merge_row(merge: Merge) -> Row:
    ends = merge.reports or ((b"", 0), (b"", 0))
    return {
        "a": merge.a,
        "b": merge.b,
        "key": merge.key,
        "state": merge.state.value,
        "why": merge.why,
        "host_a": ends[0][0],
        "sequence_a": ends[0][1],
        "host_b": ends[1][0],
        "sequence_b": ends[1][1],
        "ruling": merge.order,
    }


def _merge(row: Sequence[Any]) -> Merge:
    a, b, key, state, why, host_a, sequence_a, host_b, sequence_b, ruling = row
    return Merge(
        a=a,
        b=b,
        key=key,
        state=MergeState(state),
        why=why,
        reports=((host_a, sequence_a), (host_b, sequence_b)) if host_a else (),
        order=ruling,
    )
