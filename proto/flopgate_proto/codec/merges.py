"""What an authority holds of two declared clusters."""

from __future__ import annotations

from typing import Final

from flopgate_proto.codec import checks
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.merges import ClusterMerge, MergeState

ENDS_MAX: Final = 2


def encode_cluster_merge(value: ClusterMerge) -> bytes:
    """Bytes of a statement about a merge."""
    return pb.ClusterMerge(
        format=checks.FORMAT,
        authority=value.authority,
        governor_unix_ms=value.governor_unix_ms,
        cluster=value.cluster,
        other=value.other,
        key=value.key,
        state=checks.wire(value.state),
        why=value.why,
        ends=[pb.MergeEnd(host_id=host_id, sequence=number) for host_id, number in value.ends],
        ruling=value.ruling,
    ).SerializeToString(deterministic=True)


def decode_cluster_merge(data: bytes) -> ClusterMerge:
    """Statement about a merge from its bytes.

    Raises:
        MalformedError: the bytes are none.
    """
    message = checks.check_format(checks.parse_exact(pb.ClusterMerge(), data))
    return ClusterMerge(
        authority=checks.text(message.authority, "authority", required=True),
        governor_unix_ms=checks.count(message.governor_unix_ms, "governor_unix_ms"),
        cluster=checks.text(message.cluster, "cluster", required=True),
        other=checks.text(message.other, "other cluster"),
        key=checks.text(message.key, "key of a merge", required=True),
        state=checks.member(MergeState, message.state, "state of a merge"),
        why=checks.text(message.why, "why a merge waits"),
        ends=tuple(
            (checks.digest(end.host_id, "host id"), checks.count(end.sequence, "sequence"))
            for end in checks.few(message.ends, ENDS_MAX, "ends of a merge")
        ),
        ruling=checks.digest_or_empty(message.ruling, "ruling"),
    )
