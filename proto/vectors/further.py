"""Orders about orders, keys, chains and seats, and a statement of heads: values of the vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from flopgate_proto.codec import encode_order
from flopgate_proto.keys import key_digest
from flopgate_proto.values import (
    Adoption,
    Closure,
    ClusterMerge,
    Confirmation,
    Head,
    Heads,
    MergeState,
    Neighbours,
    Order,
    Registration,
    Relief,
    Revocation,
    Seat,
    Seats,
    Standing,
    Veto,
    WorkloadKind,
)
from vectors import inputs, order_inputs

_SIGNED: Final[dict[str, Any]] = {
    "authority": inputs.AUTHORITY,
    "authority_id": order_inputs.AUTHORITY_ID,
    "nonce": inputs.ORDER_NONCE,
    "reason": "Looked into.",
}

REVOCATION: Final = Revocation(key_digest=key_digest(inputs.KEYS["officer-2"].spki), **_SIGNED)
CLOSURE: Final = Closure(host_id=inputs.HOST_ID, **_SIGNED)
RELIEF: Final = Relief(
    host_id=inputs.HOST_ID,
    workload="run-7",
    amount_tflop=12_000,
    evidence_digest=bytes(range(0x60, 0x80)),
    **_SIGNED,
)
REGISTRATION: Final = Registration(
    workload="run-7",
    kind=WorkloadKind.TRAINING,
    custodian="operator",
    parents=("run-5", "run-6"),
    tier=2,
    prior_tflop=10**12,
    **_SIGNED,
)
SEATS: Final = Seats(
    authority=inputs.AUTHORITY,
    authority_id=order_inputs.AUTHORITY_ID,
    version=2,
    seats=(
        Seat(authority=inputs.AUTHORITY, standing=Standing.REQUIRED),
        Seat(authority="other.example", standing=Standing.RECIPIENT),
    ),
    reason="Treaty of the two agencies.",
    fallback_ms=30 * 86_400_000,
)


def veto(order: bytes) -> Veto:
    """Of an order with this digest."""
    return Veto(order_digest=order, **_SIGNED)


def confirmation(pause: bytes) -> Confirmation:
    """Of this pause."""
    return Confirmation(pauses=(pause,), **_SIGNED)


def adoption(head: bytes) -> Adoption:
    """Of the host's first report."""
    return Adoption(host_id=inputs.HOST_ID, sequence=1, head=head, **_SIGNED)


CLUSTER_MERGE: Final = ClusterMerge(
    authority=inputs.AUTHORITY,
    governor_unix_ms=inputs.GOVERNOR_UNIX_MS,
    cluster="alpha",
    other="beta",
    key="fabric:000102030405060708090a0b0c0d0e0f",
    state=MergeState.WAITING,
    why="sites",
    ends=((inputs.HOST_ID, 1), (bytes(range(0x80, 0xA0)), 7)),
)
NEIGHBOURS = Neighbours(
    authority=inputs.AUTHORITY,
    governor_unix_ms=inputs.GOVERNOR_UNIX_MS,
    fabric_cluster_uuid=bytes(range(16)),
    workload="run",
    hosts=18,
    median_gflop_per_s=512_000,
)


def heads(head: bytes) -> Heads:
    """One host stands at its first report."""
    return Heads(
        authority=inputs.AUTHORITY,
        governor_unix_ms=inputs.GOVERNOR_UNIX_MS,
        heads=(
            Head(
                host_id=inputs.HOST_ID,
                sequence=1,
                head=head,
                allotted_tflop=5_000,
                unaccounted_tflop=7,
            ),
        ),
    )


_BAD: Final[tuple[tuple[str, Order, str], ...]] = (
    ("veto-of-no-digest", veto(b""), "field.size"),
    (
        "confirmation-of-nothing",
        replace(confirmation(bytes(32)), pauses=()),
        "confirmation.empty",
    ),
    ("revocation-of-a-short-digest", replace(REVOCATION, key_digest=bytes(31)), "field.size"),
    ("relief-of-nothing", replace(RELIEF, amount_tflop=0), "relief.empty"),
    ("registration-beyond-tiers", replace(REGISTRATION, tier=9), "registration.tier"),
    (
        "registration-of-a-parent-twice",
        replace(REGISTRATION, parents=("run-5", "run-5")),
        "field.duplicate",
    ),
    (
        "seats-of-one-authority-twice",
        replace(SEATS, seats=SEATS.seats[:1] * 2),
        "field.duplicate",
    ),
)


def bad() -> list[tuple[str, str, bytes, str]]:
    """Orders that are refused: name, payload type, bytes, code."""
    return [(name, *encode_order(order), code) for name, order, code in _BAD]
