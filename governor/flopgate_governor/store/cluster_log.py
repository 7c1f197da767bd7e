"""Merges of clusters in the log: found, waiting or ruled, in the transaction that writes them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from flopgate_governor.core.checkpoint import append
from flopgate_governor.core.clusters import Merge
from flopgate_governor.store.logbook import write_log
from flopgate_proto.codec import PayloadType, encode_cluster_merge
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.keys import Signer
from flopgate_proto.merkle import Frontier
from flopgate_proto.values.merges import ClusterMerge


def statement(
    merge: Merge, authority: str, unix_ms: int, *, told: str = "", hidden: bool = False
) -> ClusterMerge:
    """What there is to say of a merge.

    Args:
        merge: as it is known.
        authority: who says it.
        unix_ms: when.
        told: the end whose hosts are told, by default the first.
        hidden: they may not know the other one.
    """
    cluster = told or merge.a
    other = merge.b if cluster == merge.a else merge.a
    return ClusterMerge(
        authority=authority,
        governor_unix_ms=unix_ms,
        cluster=cluster,
        other="" if hidden else other,
        key=merge.key,
        state=merge.state,
        why=merge.why,
        ends=() if hidden else merge.reports,
        ruling=merge.order,
    )


def sealed(value: ClusterMerge, permit: Signer) -> Envelope:
    """Signed with the permit key."""
    return seal(PayloadType.CLUSTER_MERGE, encode_cluster_merge(value), [permit])


def log_merges(
    connection: Connection,
    frontier: Frontier,
    merges: Sequence[Merge],
    *,
    authority: str,
    permit: Signer,
    log: Signer,
    unix_ms: int,
) -> Frontier:
    """Append an entry for each merge that moved; where the log goes on."""
    if not merges:
        return frontier
    said = [sealed(statement(merge, authority, unix_ms), permit) for merge in merges]
    appended = append(frontier, said, authority, log)
    write_log(connection, appended)
    return appended.frontier
