"""Where an authority's chains stand, for comparison with another's."""

from __future__ import annotations

from flopgate_proto.codec import checks
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.heads import Head, Heads


def encode_heads(value: Heads) -> bytes:
    """Bytes of a statement of heads."""
    heads = [
        pb.Head(
            host_id=head.host_id,
            sequence=head.sequence,
            head=head.head,
            allotted_tflop=head.allotted_tflop,
            unaccounted_tflop=head.unaccounted_tflop,
        )
        for head in value.heads
    ]
    return pb.Heads(
        format=checks.FORMAT,
        authority=value.authority,
        governor_unix_ms=value.governor_unix_ms,
        heads=heads,
    ).SerializeToString(deterministic=True)


def decode_heads(data: bytes) -> Heads:
    """Statement of heads from its bytes.

    Raises:
        MalformedError: the bytes are none.
    """
    message = checks.check_format(checks.parse_exact(pb.Heads(), data))
    heads = tuple(
        Head(
            host_id=checks.digest(head.host_id, "host id"),
            sequence=checks.count(head.sequence, "sequence"),
            head=checks.digest(head.head, "head"),
            allotted_tflop=checks.count(head.allotted_tflop, "allotted"),
            unaccounted_tflop=checks.count(head.unaccounted_tflop, "unaccounted"),
        )
        for head in message.heads
    )
    checks.unique([head.host_id for head in heads], "hosts of heads")
    return Heads(
        authority=checks.text(message.authority, "authority", required=True),
        governor_unix_ms=checks.count(message.governor_unix_ms, "governor_unix_ms"),
        heads=heads,
    )
