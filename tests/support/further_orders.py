"""Builders of orders about orders, keys, chains and seats; each field can be overridden by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from hypothesis import strategies as st

from flopgate_proto.codec import PayloadType
from flopgate_proto.limits import TIERS_MAX
from flopgate_proto.values import (
    Adoption,
    Closure,
    ClusterMerge,
    Confirmation,
    Head,
    Heads,
    LicenseApproval,
    MergeState,
    Neighbours,
    Order,
    Registration,
    Relief,
    ReserveOpening,
    Revocation,
    Seat,
    Seats,
    Standing,
    TrustedTime,
    Veto,
    WorkloadKind,
)
from tests.support import strategies as given_values
from tests.support.fixed import AUTHORITY, HOST_ID, OFFICER_KEYS, ORDER_NONCE, WORKLOAD
from tests.support.orders import ours

DIGEST: Final = bytes(range(32))
_SIGNED: Final[dict[str, Any]] = {
    "authority": AUTHORITY,
    "nonce": ORDER_NONCE,
    "reason": "Seen to.",
}


def veto(**fields: Any) -> Veto:
    """Of some order."""
    return ours(replace(Veto(order_digest=DIGEST, **_SIGNED), **fields))


def confirmation(**fields: Any) -> Confirmation:
    """Of one pause."""
    return ours(replace(Confirmation(pauses=(DIGEST,), **_SIGNED), **fields))


def revocation(**fields: Any) -> Revocation:
    """Of the last officer's key."""
    key = bytes.fromhex(OFFICER_KEYS[-1].key_id)
    return ours(replace(Revocation(key_digest=key, **_SIGNED), **fields))


def adoption(**fields: Any) -> Adoption:
    """Of report 7 of the host."""
    return ours(replace(Adoption(host_id=HOST_ID, sequence=7, head=DIGEST, **_SIGNED), **fields))


def closure(**fields: Any) -> Closure:
    """Of the host's chain."""
    return ours(replace(Closure(host_id=HOST_ID, **_SIGNED), **fields))


def relief(**fields: Any) -> Relief:
    """Of five teraFLOP of the host's lane."""
    base = Relief(
        host_id=HOST_ID, workload=WORKLOAD, amount_tflop=5, evidence_digest=DIGEST, **_SIGNED
    )
    return ours(replace(base, **fields))


def registration(**fields: Any) -> Registration:
    """Of a training run, approved by the first tier."""
    base = Registration(
        workload=WORKLOAD,
        kind=WorkloadKind.TRAINING,
        custodian="operator",
        parents=(),
        tier=1,
        prior_tflop=0,
        **_SIGNED,
    )
    return ours(replace(base, **fields))


def seats(**fields: Any) -> Seats:
    """Another agency only receives."""
    base = Seats(
        authority=AUTHORITY,
        version=1,
        seats=(Seat(authority="other.example", standing=Standing.RECIPIENT),),
        reason="Seen to.",
    )
    return ours(replace(base, **fields))


def approval(**fields: Any) -> LicenseApproval:
    """Seven days for one request."""
    base = LicenseApproval(
        requests=(DIGEST,),
        not_before_unix_ms=0,
        not_after_unix_ms=2**41,
        span_ms=604_800_000,
        headroom_max_tflop=10**9,
        reserve=False,
        **_SIGNED,
    )
    return ours(replace(base, **fields))


def reserve(**fields: Any) -> LicenseApproval:
    """The same, sealed until its one opener opens it."""
    openers = (OFFICER_KEYS[-1].spki,)
    return approval(**{"reserve": True, "opener_spkis": openers, "opener_threshold": 1} | fields)


def opening(**fields: Any) -> ReserveOpening:
    """Of the reserve licenses of some approval."""
    return replace(ReserveOpening(approval=DIGEST, **_SIGNED), **fields)


ALL: Final[tuple[Order, ...]] = (
    veto(),
    confirmation(),
    revocation(),
    adoption(),
    closure(),
    relief(),
    registration(),
    seats(),
    approval(),
)

_TEXTS: Final = {
    "authority": given_values.NAMES,
    "nonce": given_values.NONCES,
    "reason": given_values.NAMES,
}
_DIGESTS, _COUNTS = given_values.DIGESTS, given_values.COUNTS
_ORDERED: Final = _TEXTS | {"authority_id": _DIGESTS}


@st.composite
def _approvals(draw: st.DrawFn) -> LicenseApproval:
    """Any approval, of a reserve or not."""
    begins_ms = draw(st.integers(0, 2**63 - 2))
    openers = draw(st.lists(given_values.KEYS, max_size=3, unique=True).map(tuple))
    return LicenseApproval(
        authority=draw(given_values.NAMES),
        authority_id=draw(_DIGESTS),
        requests=tuple(draw(st.lists(_DIGESTS, min_size=1, max_size=3, unique=True))),
        not_before_unix_ms=begins_ms,
        not_after_unix_ms=draw(st.integers(begins_ms + 1, 2**63 - 1)),
        span_ms=draw(st.integers(1, 2**63 - 1)),
        headroom_max_tflop=draw(_COUNTS),
        reserve=bool(openers),
        opener_spkis=openers,
        opener_threshold=draw(st.integers(1, len(openers))) if openers else 0,
        nonce=draw(given_values.NONCES),
        reason=draw(given_values.NAMES),
    )


_SEATS: Final = st.builds(
    Seat, authority=given_values.NAMES, standing=given_values.members(Standing)
)
ANY: Final[dict[str, tuple[st.SearchStrategy[Any], PayloadType]]] = {
    "veto": (st.builds(Veto, order_digest=_DIGESTS, **_ORDERED), PayloadType.VETO),
    "confirmation": (
        st.builds(
            Confirmation,
            pauses=st.lists(_DIGESTS, min_size=1, max_size=3).map(tuple),
            **_ORDERED,
        ),
        PayloadType.CONFIRMATION,
    ),
    "revocation": (st.builds(Revocation, key_digest=_DIGESTS, **_ORDERED), PayloadType.REVOCATION),
    "adoption": (
        st.builds(Adoption, host_id=_DIGESTS, sequence=_COUNTS, head=_DIGESTS, **_ORDERED),
        PayloadType.ADOPTION,
    ),
    "closure": (st.builds(Closure, host_id=_DIGESTS, **_ORDERED), PayloadType.CLOSURE),
    "relief": (
        st.builds(
            Relief,
            host_id=_DIGESTS,
            workload=given_values.NAMES,
            amount_tflop=st.integers(1, 2**63 - 1),
            evidence_digest=_DIGESTS,
            **_ORDERED,
        ),
        PayloadType.RELIEF,
    ),
    "registration": (
        st.builds(
            Registration,
            workload=given_values.NAMES,
            kind=given_values.members(WorkloadKind),
            custodian=given_values.NAMES,
            parents=st.lists(given_values.NAMES, max_size=3, unique=True).map(tuple),
            tier=st.integers(0, TIERS_MAX),
            prior_tflop=_COUNTS,
            **_ORDERED,
        ),
        PayloadType.REGISTRATION,
    ),
    "seats": (
        st.builds(
            Seats,
            authority=given_values.NAMES,
            authority_id=_DIGESTS,
            version=_COUNTS,
            seats=given_values.different(_SEATS, "authority"),
            reason=given_values.NAMES,
            fallback_ms=_COUNTS,
        ),
        PayloadType.SEATS,
    ),
    "license approval": (_approvals(), PayloadType.LICENSE_APPROVAL),
}
"""Any such order, by its name."""

OPENINGS: Final = st.builds(ReserveOpening, approval=_DIGESTS, **_TEXTS)
TIMES: Final = st.builds(TrustedTime, authority=given_values.NAMES, governor_unix_ms=_COUNTS)

HEADS: Final = st.builds(
    Heads,
    authority=given_values.NAMES,
    governor_unix_ms=_COUNTS,
    heads=given_values.different(
        st.builds(
            Head,
            host_id=_DIGESTS,
            sequence=_COUNTS,
            head=_DIGESTS,
            allotted_tflop=_COUNTS,
            unaccounted_tflop=_COUNTS,
        ),
        "host_id",
    ),
)

MERGES: Final = st.builds(
    ClusterMerge,
    authority=given_values.NAMES,
    governor_unix_ms=_COUNTS,
    cluster=given_values.NAMES,
    other=st.just("") | given_values.NAMES,
    key=given_values.NAMES,
    state=given_values.members(MergeState),
    why=st.sampled_from(["", "sites"]),
    ends=st.lists(st.tuples(_DIGESTS, _COUNTS), max_size=2).map(tuple),
    ruling=st.just(b"") | _DIGESTS,
)

NEIGHBOURS: Final = st.builds(
    Neighbours,
    authority=given_values.NAMES,
    governor_unix_ms=_COUNTS,
    fabric_cluster_uuid=st.binary(min_size=16, max_size=16),
    workload=given_values.NAMES,
    hosts=st.integers(0, 2**32 - 1),
    median_gflop_per_s=_COUNTS,
)
