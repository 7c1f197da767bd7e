"""Builders of valid orders of officers: each field can be overridden by name.

>>> orders.sealed_order(orders.pause(emergency=True), fixed.OFFICER_KEYS[:1])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, TypeVar

from flopgate_proto.codec import encode_order
from flopgate_proto.envelope import Envelope, seal, statement_digest
from flopgate_proto.keys import Signer
from flopgate_proto.trust import ROLE_OF, SINGLE_ROLES, Trust
from flopgate_proto.values import (
    Budget,
    CapacityBasis,
    ChargedFigure,
    ClusterRuling,
    Delegation,
    Key,
    Order,
    Pause,
    Phase,
    PhaseRule,
    Policy,
    Reconciliation,
    Resume,
    Role,
    Scope,
    ScopeKind,
    TrustRoot,
)
from tests.support.fixed import AUTHORITY, CLUSTER_SCOPE, OFFICER_KEYS, ORDER_NONCE, PERMIT_KEY


def trust_root(**fields: Any) -> TrustRoot:
    """Three officers, any one pauses, two of three do the rest; a first root if of version 1."""
    everyone = tuple(range(len(OFFICER_KEYS)))
    names = sorted(set(ROLE_OF.values()))
    base = TrustRoot(
        authority=AUTHORITY,
        version=1,
        keys=tuple(Key(name=f"officer-{n}", spki=key.spki) for n, key in enumerate(OFFICER_KEYS)),
        roles=(
            *(Role(name=n, threshold=1 if n in SINGLE_ROLES else 2, keys=everyone) for n in names),
        ),
        nonce=ORDER_NONCE,
    )
    root = replace(base, **fields)
    later = root.version > 1 and "nonce" not in fields
    return ours(replace(root, nonce=b"")) if later else root


def delegation(**fields: Any) -> Delegation:
    """Seven days for the permit key."""
    base = Delegation(
        authority=AUTHORITY,
        serial=1,
        permit_spki=PERMIT_KEY.spki,
        span_ms=7 * 24 * 3_600_000,
        least_policy_version=1,
    )
    return ours(replace(base, **fields))


def policy(**fields: Any) -> Policy:
    """The defaults of the design, a budget for the cluster, and `enforce` everywhere."""
    base = Policy(
        authority=AUTHORITY,
        version=1,
        threshold_tflop_per_s=1_000_000,
        capacity_basis=CapacityBasis.DENSE_8BIT,
        charged_figure=ChargedFigure.NOMINAL,
        lifetime_ms=600_000,
        wind_down_ms=120_000,
        renew_after_ms=120_000,
        drain_ms=5_000,
        exempt_lifetime_ms=86_400_000,
        drift_ppm=500,
        watchdog_ms=30_000,
        pause_lapse_ms=72 * 3_600_000,
        loose_phase_age_ms=14 * 86_400_000,
        headroom_max_tflop=1_000_000_000,
        budgets=(Budget(scope=CLUSTER_SCOPE, cap_tflop=10**13),),
        phases=(PhaseRule(scope=Scope(ScopeKind.EVERYTHING), phase=Phase.ENFORCE, from_unix_ms=0),),
    )
    return ours(replace(base, **fields))


def pause(**fields: Any) -> Pause:
    """One cluster, until resumed."""
    base = Pause(
        authority=AUTHORITY,
        scope=CLUSTER_SCOPE,
        nonce=ORDER_NONCE,
        reason="Unexplained topology change.",
        emergency=False,
        lapse_ms=None,
    )
    return ours(replace(base, **fields))


def resume(**fields: Any) -> Resume:
    """Lifts the pause that ``pause()`` gives."""
    base = Resume(
        authority=AUTHORITY,
        lifts=(sealed_order(pause(), OFFICER_KEYS[:1]).digest,),
        nonce=ORDER_NONCE,
        reason="Inspected and explained.",
    )
    return ours(replace(base, **fields))


def reconciliation(**fields: Any) -> Reconciliation:
    """Batches go on above number 41."""
    base = Reconciliation(
        authority=AUTHORITY,
        batch_number=41,
        nonce=ORDER_NONCE,
        reason="Store restored from the standby.",
    )
    return ours(replace(base, **fields))


def ruling(**fields: Any) -> ClusterRuling:
    """Two declared clusters are one."""
    base = ClusterRuling(
        authority=AUTHORITY,
        clusters=("alpha", "beta"),
        apart=False,
        nonce=ORDER_NONCE,
        reason="One switch.",
    )
    return ours(replace(base, **fields))


def sealed_order(order: Order, signers: Sequence[Signer] = OFFICER_KEYS[:2]) -> Envelope:
    """An order with its officers' signatures; two of three unless said otherwise."""
    return seal(*encode_order(ours(order)), signers)


AnyOrder = TypeVar("AnyOrder", bound=Order)


def ours(order: AnyOrder) -> AnyOrder:
    """The order as of the authority of its name; whose it says itself, it stays."""
    first = isinstance(order, TrustRoot) and order.nonce
    if first or order.authority_id:
        return order
    return replace(order, authority_id=authority_id(order.authority))


@lru_cache
def authority_id(name: str) -> bytes:
    """Digest of the first root that ``trust_root()`` gives an authority of this name."""
    return statement_digest(*encode_order(trust_root(authority=name)))


TRUST_ROOT_ENVELOPE: Final = sealed_order(trust_root())
TRUST_ROOT_DIGEST: Final = TRUST_ROOT_ENVELOPE.digest


def trust() -> Trust:
    """Trust in the root that ``trust_root()`` gives."""
    return Trust.pinned(TRUST_ROOT_ENVELOPE, TRUST_ROOT_DIGEST)
