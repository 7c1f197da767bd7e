"""What officers sign.

``authority_id`` of each order is the digest of the authority's first trust root, by which two
authorities of one name are told apart. It is empty in that root alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopgate_proto.values.common import (
    CapacityBasis,
    ChargedFigure,
    Phase,
    Scope,
    ScopeKind,
    Standing,
    WorkloadKind,
)
from flopgate_proto.values.licenses import LicenseApproval

LINK_MBIT_PER_S: Final = 100_000
"""Links above this make one cluster where policy names no rate. Executive Order 14110 of the United
States (2023, section 4.2 (b) (ii)) drew its line for one computing cluster at over 100 Gbit/s."""

NARROW: Final = frozenset({ScopeKind.CLUSTER})
"""Scopes no wider than one cluster: one officer's pause of these may last until it is lifted. A
workload may run on several clusters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A named public key, DER SubjectPublicKeyInfo."""

    name: str
    spki: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Who may sign what: at least ``threshold`` different keys out of ``keys`` (indices)."""

    name: str
    threshold: int
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRoot:
    """Keys and roles of one authority. A new version carries the thresholds of old and new.

    ``nonce``: of a first root alone, which is like no other by it.
    """

    authority: str
    version: int
    keys: tuple[Key, ...]
    roles: tuple[Role, ...]
    nonce: bytes = b""
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """Lets an online key sign answers for ``span_ms`` of gate running time since first seen."""

    authority: str
    serial: int
    permit_spki: bytes
    span_ms: int
    least_policy_version: int
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Cap on the FLOP of everything in a scope, both books together."""

    scope: Scope
    cap_tflop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRule:
    """From a date on, rules bite in a scope as far as ``phase`` says."""

    scope: Scope
    phase: Phase
    from_unix_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """How far an approval goes.

    Attributes:
        training_tflop: training compute of a workload and all that it descends from.
        inference_tflop_per_s: of an inference deployment, by the peak of the chips that it holds.
    """

    training_tflop: int
    inference_tflop_per_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Signed, versioned data that decides; DESIGN sections 8 and 9 give the defaults.

    Attributes:
        threshold_tflop_per_s: a cluster of at least this capacity is covered.
        headroom_max_tflop: most that one grant may lie above the reported total.
        drift_ppm: bound on a host clock's drift that law 1 allows for.
        cluster_link_mbit_per_s: a faster link makes two clusters one; 0 stands for
            `LINK_MBIT_PER_S`.
        loosening_delay_ms: from acceptance until what loosens comes into force; 0: at once.
        closures_max, closures_span_ms: old chains of one custodian that new enrolments may close
            within the span, without officers.
        register_tflop: most that all unregistered workloads of one custodian may spend together,
            and the lineage of one that is registered and not approved; 0: no such rule.
        prohibit_tflop: no lineage, and no cap of a workload, goes further; 0: no such rule.
        prohibit_tflop_per_s: no inference deployment is faster; 0: no such rule.
        tiers: what tier 1, 2 and so on allow; higher ones than these allow what the last does.
        license_span_ms, license_age_ms: of a license, most gate running time and most time from its
            issue to ``not_after_unix_ms``; 0: none is given.
        license_headroom_max_tflop: most that a license's ceiling may lie above the reported total.
        license_step_ms: span of one reservation.
        reserve_after_ms: gate running time without an answer before a reserve license opens; 0:
            none is given.
        reserve_span_ms, reserve_headroom_max_tflop: of a reserve license, as above.
    """

    authority: str
    version: int
    threshold_tflop_per_s: int
    capacity_basis: CapacityBasis
    charged_figure: ChargedFigure
    lifetime_ms: int
    wind_down_ms: int
    renew_after_ms: int
    drain_ms: int
    exempt_lifetime_ms: int
    drift_ppm: int
    watchdog_ms: int
    pause_lapse_ms: int
    loose_phase_age_ms: int
    headroom_max_tflop: int
    budgets: tuple[Budget, ...] = ()
    phases: tuple[PhaseRule, ...] = ()
    cluster_link_mbit_per_s: int = 0
    loosening_delay_ms: int = 0
    closures_max: int = 0
    closures_span_ms: int = 0
    register_tflop: int = 0
    prohibit_tflop: int = 0
    license_span_ms: int = 0
    license_age_ms: int = 0
    license_headroom_max_tflop: int = 0
    license_step_ms: int = 0
    reserve_after_ms: int = 0
    reserve_span_ms: int = 0
    reserve_headroom_max_tflop: int = 0
    prohibit_tflop_per_s: int = 0
    tiers: tuple[Tier, ...] = ()
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Stops a scope. Latched by its digest; ``lapse_ms`` of gate running time, ``None`` never."""

    authority: str
    scope: Scope
    nonce: bytes
    reason: str
    emergency: bool
    lapse_ms: int | None
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Lifts exactly the pauses whose digests it lists."""

    authority: str
    lifts: tuple[bytes, ...]
    nonce: bytes
    reason: str
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Ends the halt after a rollback; batches are numbered above ``batch_number`` from now on.

    ``licenses_until_unix_ms``: when the last license ends that may have been lost; 0: none was.
    """

    authority: str
    batch_number: int
    nonce: bytes
    reason: str
    licenses_until_unix_ms: int = 0
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRuling:
    """Says what makes up one cluster, whatever was declared and found.

    Attributes:
        clusters: as they were declared; at least two, or one that stands ``apart``.
        apart: they hang together with nothing else; otherwise they are one.
    """

    authority: str
    clusters: tuple[str, ...]
    apart: bool
    nonce: bytes
    reason: str
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Veto:
    """One officer: the order of this digest, which waits, never comes into force."""

    authority: str
    order_digest: bytes
    nonce: bytes
    reason: str
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A quorum: the pauses of these digests do not lapse."""

    authority: str
    pauses: tuple[bytes, ...]
    nonce: bytes
    reason: str
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A suspected key, by the SHA-256 of its SubjectPublicKeyInfo, never counts again."""

    authority: str
    key_digest: bytes
    nonce: bytes
    reason: str
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """A host whose chain was closed on evidence goes on after the report of this digest."""

    authority: str
    host_id: bytes
    sequence: int
    head: bytes
    nonce: bytes
    reason: str
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """A host's chain ends for good; its chips may be enrolled anew."""

    authority: str
    host_id: bytes
    nonce: bytes
    reason: str
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """Evidence shows that so much of a lane's unaccounted book was never computed."""

    authority: str
    host_id: bytes
    workload: str
    amount_tflop: int
    evidence_digest: bytes
    nonce: bytes
    reason: str
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A workload by name: what it is for, what it descends from, how far it may go.

    Attributes:
        custodian: whose hosts compute it; under the same name others compute something else.
        parents: registered workloads whose results went into it.
        tier: that officers approved, 0 for none.
        prior_tflop: training compute that went into it and stands in none of our books.
    """

    authority: str
    workload: str
    kind: WorkloadKind
    custodian: str
    parents: tuple[str, ...]
    tier: int
    prior_tflop: int
    nonce: bytes
    reason: str
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Whether an authority has a say."""

    authority: str
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Seats:
    """Which authorities have a say, as far as ``authority`` is asked; those not listed rule.

    ``fallback_ms``: 0, or the gate running time without a signed word of ``authority`` after which
    it is not asked about itself.
    """

    authority: str
    version: int
    seats: tuple[Seat, ...]
    reason: str
    fallback_ms: int = 0
    authority_id: bytes = b""


Order = (
    TrustRoot
    | Delegation
    | Policy
    | Pause
    | Resume
    | Reconciliation
    | ClusterRuling
    | Veto
    | Confirmation
    | Revocation
    | Adoption
    | Closure
    | Relief
    | Registration
    | Seats
    | LicenseApproval
)
