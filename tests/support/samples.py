"""Valid bytes for every parser, and mutations of them."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from flopgate_proto.codec import (
    encode_admission,
    encode_answer,
    encode_batch_root,
    encode_chip_row,
    encode_cluster_merge,
    encode_enrolment,
    encode_heads,
    encode_neighbours,
    encode_opening,
    encode_order,
    encode_trusted_time,
    envelope_to_json,
    envelope_to_wire,
)
from flopgate_proto.envelope import Envelope
from flopgate_proto.joining import PREFIX
from flopgate_proto.values import ClusterMerge, Heads, MergeState, Neighbours, TrustedTime
from tests.support import further_orders, orders, statements
from tests.support.file_parsers import FILES_ACCEPTED
from tests.support.fixed import HOST_KEY

_REPORT: Final = statements.sealed_report(statements.report())
_POLICY: Final = orders.sealed_order(orders.policy())
_ORDERS: Final = (
    orders.trust_root(),
    orders.delegation(),
    orders.policy(),
    orders.pause(),
    orders.resume(),
    orders.reconciliation(),
    orders.ruling(),
    *further_orders.ALL,
)


def _wire(envelope: Envelope) -> bytes:
    return envelope_to_wire(envelope).SerializeToString(deterministic=True)


ACCEPTED: Final = {
    "vnd.flopgate.report.v1+protobuf": _REPORT.payload,
    "vnd.flopgate.enrolment.v1+protobuf": encode_enrolment(statements.enrolment()),
    "vnd.flopgate.answer.v1+protobuf": encode_answer(statements.answer()),
    "vnd.flopgate.batch-root.v1+protobuf": encode_batch_root(statements.batch_root()),
    "vnd.flopgate.admission.v1+protobuf": encode_admission(statements.admission()),
    **{kind.rsplit("/", 1)[1]: payload for kind, payload in (encode_order(o) for o in _ORDERS)},
    "vnd.flopgate.heads.v1+protobuf": encode_heads(
        Heads(authority="a.example", governor_unix_ms=1, heads=())
    ),
    "vnd.flopgate.cluster-merge.v1+protobuf": encode_cluster_merge(
        ClusterMerge(
            authority="a.example",
            governor_unix_ms=1,
            cluster="alpha",
            other="beta",
            key="fabric:00",
            state=MergeState.FOUND,
        )
    ),
    "vnd.flopgate.neighbours.v1+protobuf": encode_neighbours(
        Neighbours(
            authority="a.example",
            governor_unix_ms=1,
            fabric_cluster_uuid=bytes(16),
            workload="w",
            hosts=4,
            median_gflop_per_s=5,
        )
    ),
    "vnd.flopgate.reserve-opening.v1+protobuf": encode_opening(further_orders.opening()),
    "vnd.flopgate.trusted-time.v1+protobuf": encode_trusted_time(
        TrustedTime(authority="a.example", governor_unix_ms=1)
    ),
    "chip-row": encode_chip_row(statements.chip_row()),
    "envelope-wire": _wire(_REPORT),
    "envelope-json": envelope_to_json(_REPORT).encode(),
    "trust-pinned": encode_order(orders.trust_root())[1],
    "trust-pinned-wire": _wire(orders.TRUST_ROOT_ENVELOPE),
    "trust-verify-wire": _wire(_POLICY),
    "join-token": statements.join_token().text().encode(),
    "join-token-of-prefix": statements.join_token().text().removeprefix(PREFIX).encode(),
    "key": HOST_KEY.spki,
    "merkle-path": bytes([0, 1, 0, 3]) + bytes(64),
    **FILES_ACCEPTED,
}
"""Bytes that the parser of this name takes."""

VALID: Final = tuple(ACCEPTED.values())


@st.composite
def mutated(draw: st.DrawFn, valid: bytes) -> bytes:
    """Valid bytes with one to four places overwritten, cut out, doubled or put in."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        match draw(st.sampled_from(("overwrite", "cut", "double", "insert"))):
            case "overwrite":
                data[start:end] = draw(st.binary(min_size=end - start, max_size=end - start))
            case "cut":
                del data[start:end]
            case "double":
                data[start:start] = data[start:end]
            case _:
                data[start:start] = draw(st.binary(max_size=8))
    return bytes(data)
