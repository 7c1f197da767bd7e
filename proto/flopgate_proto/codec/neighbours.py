"""What hosts that hang together were charged."""

from __future__ import annotations

from flopgate_proto.codec import checks
from flopgate_proto.limits import UUID_BYTES
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.neighbours import Neighbours


def encode_neighbours(value: Neighbours) -> bytes:
    """Bytes of a statement about neighbours."""
    return pb.Neighbours(
        format=checks.FORMAT,
        authority=value.authority,
        governor_unix_ms=value.governor_unix_ms,
        fabric_cluster_uuid=value.fabric_cluster_uuid,
        workload=value.workload,
        hosts=value.hosts,
        median_gflop_per_s=value.median_gflop_per_s,
    ).SerializeToString(deterministic=True)


def decode_neighbours(data: bytes) -> Neighbours:
    """Statement about neighbours from its bytes.

    Raises:
        MalformedError: the bytes are none.
    """
    message = checks.check_format(checks.parse_exact(pb.Neighbours(), data))
    return Neighbours(
        authority=checks.text(message.authority, "authority", required=True),
        governor_unix_ms=checks.count(message.governor_unix_ms, "governor_unix_ms"),
        fabric_cluster_uuid=checks.exact(message.fabric_cluster_uuid, UUID_BYTES, "cluster UUID"),
        workload=checks.text(message.workload, "workload", required=True),
        hosts=checks.count(message.hosts, "hosts"),
        median_gflop_per_s=checks.count(message.median_gflop_per_s, "median_gflop_per_s"),
    )
