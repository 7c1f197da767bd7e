"""Orders of which vectors are made: frozen values as those of `inputs`."""

from __future__ import annotations

from typing import Final

from flopgate_proto.codec import encode_order
from flopgate_proto.envelope import statement_digest
from flopgate_proto.values import (
    Budget,
    CapacityBasis,
    ChargedFigure,
    ClusterRuling,
    Delegation,
    Key,
    Pause,
    Phase,
    PhaseRule,
    Policy,
    Reconciliation,
    Role,
    TrustRoot,
)
from vectors import inputs


def trust_root(version: int) -> TrustRoot:
    """Version 1 has two officers; version 2 adds one with an Ed25519 key."""
    officers = ("officer-0", "officer-1", "officer-2")[: version + 1]
    everyone = tuple(range(len(officers)))
    names = ("root", "policy", "delegate", "resume", "reconcile")
    return TrustRoot(
        authority=inputs.AUTHORITY,
        version=version,
        keys=tuple(Key(name=name, spki=inputs.KEYS[name].spki) for name in officers),
        roles=(
            *(Role(name=name, threshold=2, keys=everyone) for name in names),
            Role(name="pause", threshold=1, keys=everyone),
        ),
        nonce=inputs.ORDER_NONCE if version == 1 else b"",
        authority_id=b"" if version == 1 else AUTHORITY_ID,
    )


AUTHORITY_ID: Final = statement_digest(*encode_order(trust_root(1)))


DELEGATION: Final = Delegation(
    authority=inputs.AUTHORITY,
    authority_id=AUTHORITY_ID,
    serial=1,
    permit_spki=inputs.KEYS["permit"].spki,
    span_ms=604_800_000,
    least_policy_version=3,
)

POLICY: Final = Policy(
    authority=inputs.AUTHORITY,
    authority_id=AUTHORITY_ID,
    version=3,
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
    pause_lapse_ms=259_200_000,
    loose_phase_age_ms=1_209_600_000,
    headroom_max_tflop=1_000_000_000,
    budgets=(
        Budget(scope=inputs.EVERYTHING, cap_tflop=inputs.COUNT_MAX),
        Budget(scope=inputs.CLUSTER, cap_tflop=10**13),
    ),
    phases=(
        PhaseRule(scope=inputs.EVERYTHING, phase=Phase.OBSERVE, from_unix_ms=0),
        PhaseRule(scope=inputs.CLUSTER, phase=Phase.ENFORCE, from_unix_ms=inputs.GOVERNOR_UNIX_MS),
    ),
)


def pause(*, emergency: bool) -> Pause:
    """An emergency pause of everything that lapses, or one of a cluster that does not."""
    return Pause(
        authority=inputs.AUTHORITY,
        authority_id=AUTHORITY_ID,
        scope=inputs.EVERYTHING if emergency else inputs.CLUSTER,
        nonce=inputs.ORDER_NONCE,
        reason="Unexplained topology change.",
        emergency=emergency,
        lapse_ms=259_200_000 if emergency else None,
    )


RECONCILIATION: Final = Reconciliation(
    authority=inputs.AUTHORITY,
    authority_id=AUTHORITY_ID,
    batch_number=41,
    nonce=inputs.ORDER_NONCE,
    reason="Restored from the standby.",
)


def ruling(*, apart: bool) -> ClusterRuling:
    """Two clusters that are one, or one that stands apart."""
    return ClusterRuling(
        authority=inputs.AUTHORITY,
        authority_id=AUTHORITY_ID,
        clusters=("hall-1",) if apart else ("hall-1", "hall-2"),
        apart=apart,
        nonce=inputs.ORDER_NONCE,
        reason="Cables inspected.",
    )
