"""Values of orders, as `strategies` has those of the other statements."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from hypothesis import strategies as st

from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import (
    Budget,
    CapacityBasis,
    ChargedFigure,
    Delegation,
    Key,
    Pause,
    Phase,
    PhaseRule,
    Policy,
    Reconciliation,
    Resume,
    Role,
    Tier,
    TrustRoot,
)
from tests.support.strategies import (
    COUNTS,
    DIGESTS,
    KEYS,
    NAMES,
    NONCES,
    SCOPES,
    different,
    few,
    members,
)


@st.composite
def trust_roots(draw: st.DrawFn) -> TrustRoot:
    """Any root whose roles can be fulfilled."""
    keys = draw(different(st.builds(Key, name=NAMES, spki=KEYS), "spki"))
    names = draw(st.lists(NAMES, max_size=3 if keys else 0, unique=True))
    roles = []
    for name in names:
        of_role = draw(st.permutations(range(len(keys))))[: draw(st.integers(1, len(keys)))]
        threshold = draw(st.integers(1, len(of_role)))
        roles.append(Role(name=name, threshold=threshold, keys=tuple(of_role)))
    nonce, authority_id = draw(st.tuples(NONCES, st.just(b"")) | st.tuples(st.just(b""), DIGESTS))
    return TrustRoot(
        authority=draw(NAMES),
        version=draw(COUNTS),
        keys=keys,
        roles=tuple(roles),
        nonce=nonce,
        authority_id=authority_id,
    )


DELEGATIONS: Final = st.builds(
    Delegation,
    authority=NAMES,
    authority_id=DIGESTS,
    serial=COUNTS,
    permit_spki=KEYS,
    span_ms=COUNTS,
    least_policy_version=COUNTS,
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any policy whose wind-down and drain fit into its lifetime."""
    lifetime_ms = draw(st.integers(1, COUNT_MAX))
    wind_down_ms = draw(st.integers(0, lifetime_ms - 1))
    rules = st.builds(PhaseRule, scope=SCOPES, phase=members(Phase), from_unix_ms=COUNTS)
    counts: dict[str, Any] = {one.name: draw(COUNTS) for one in fields(Policy) if one.default == 0}
    return Policy(
        authority=draw(NAMES),
        authority_id=draw(DIGESTS),
        version=draw(COUNTS),
        threshold_tflop_per_s=draw(COUNTS),
        capacity_basis=draw(members(CapacityBasis)),
        charged_figure=draw(members(ChargedFigure)),
        lifetime_ms=lifetime_ms,
        wind_down_ms=wind_down_ms,
        renew_after_ms=draw(COUNTS),
        drain_ms=draw(st.integers(0, lifetime_ms - wind_down_ms - 1)),
        exempt_lifetime_ms=draw(COUNTS),
        drift_ppm=draw(COUNTS),
        watchdog_ms=draw(COUNTS),
        pause_lapse_ms=draw(COUNTS),
        loose_phase_age_ms=draw(COUNTS),
        headroom_max_tflop=draw(COUNTS),
        **counts,
        budgets=draw(different(st.builds(Budget, scope=SCOPES, cap_tflop=COUNTS), "scope")),
        phases=draw(few(rules)),
        tiers=draw(few(TIERS)),
    )


TIERS: Final = st.builds(Tier, training_tflop=COUNTS, inference_tflop_per_s=COUNTS)
PAUSES: Final = st.builds(
    Pause,
    authority=NAMES,
    authority_id=DIGESTS,
    scope=SCOPES,
    nonce=NONCES,
    reason=NAMES,
    emergency=st.booleans(),
    lapse_ms=st.none() | st.integers(1, COUNT_MAX),
)
RESUMES: Final = st.builds(
    Resume,
    authority=NAMES,
    authority_id=DIGESTS,
    lifts=st.lists(DIGESTS, min_size=1, max_size=3).map(tuple),
    nonce=NONCES,
    reason=NAMES,
)
RECONCILIATIONS: Final = st.builds(
    Reconciliation,
    authority=NAMES,
    authority_id=DIGESTS,
    batch_number=COUNTS,
    nonce=NONCES,
    reason=NAMES,
    licenses_until_unix_ms=COUNTS,
)
