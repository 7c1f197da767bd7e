"""Orders of officers: trust root, delegation, policy, pause, resume, reconciliation, the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from flopgate_proto.codec import checks, further_orders, licenses
from flopgate_proto.codec.common import scope_of, scope_to
from flopgate_proto.codec.payload_types import PayloadType
from flopgate_proto.errors import MalformedError, UnknownVersionError
from flopgate_proto.limits import (
    BUDGETS_MAX,
    KEYS_MAX,
    NONCE_BYTES,
    PAUSES_MAX,
    PHASES_MAX,
    ROLES_MAX,
    RULED_CLUSTERS_MAX,
    SPKI_BYTES_MAX,
    TIERS_MAX,
)
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import CapacityBasis, ChargedFigure, Phase
from flopgate_proto.values.licenses import LicenseApproval
from flopgate_proto.values.orders import (
    Budget,
    ClusterRuling,
    Delegation,
    Key,
    Order,
    Pause,
    PhaseRule,
    Policy,
    Reconciliation,
    Resume,
    Role,
    Tier,
    TrustRoot,
)

_POLICY_COUNTS: Final = (
    "version",
    "threshold_tflop_per_s",
    "lifetime_ms",
    "wind_down_ms",
    "renew_after_ms",
    "drain_ms",
    "exempt_lifetime_ms",
    "drift_ppm",
    "watchdog_ms",
    "pause_lapse_ms",
    "loose_phase_age_ms",
    "headroom_max_tflop",
    "cluster_link_mbit_per_s",
    "loosening_delay_ms",
    "closures_max",
    "closures_span_ms",
    "register_tflop",
    "prohibit_tflop",
    "license_span_ms",
    "license_age_ms",
    "license_headroom_max_tflop",
    "license_step_ms",
    "reserve_after_ms",
    "reserve_span_ms",
    "reserve_headroom_max_tflop",
    "prohibit_tflop_per_s",
)


def encode_order(value: Order) -> tuple[PayloadType, bytes]:
    """Payload type and bytes of an order."""
    kind, message = _order_to(value)
    message.authority_id = value.authority_id
    return kind, message.SerializeToString(deterministic=True)


def _order_to(value: Order) -> tuple[PayloadType, Any]:
    match value:
        case TrustRoot():
            return PayloadType.TRUST_ROOT, pb.TrustRoot(
                format=checks.FORMAT,
                authority=value.authority,
                version=value.version,
                keys=[pb.Key(name=key.name, spki=key.spki) for key in value.keys],
                roles=[
                    pb.Role(name=role.name, threshold=role.threshold, keys=role.keys)
                    for role in value.roles
                ],
                nonce=value.nonce,
            )
        case Delegation():
            return PayloadType.DELEGATION, pb.Delegation(
                format=checks.FORMAT,
                authority=value.authority,
                serial=value.serial,
                permit_spki=value.permit_spki,
                span_ms=value.span_ms,
                least_policy_version=value.least_policy_version,
            )
        case Policy():
            return PayloadType.POLICY, pb.Policy(
                format=checks.FORMAT,
                authority=value.authority,
                capacity_basis=checks.wire(value.capacity_basis),
                charged_figure=checks.wire(value.charged_figure),
                budgets=[
                    pb.Budget(scope=scope_to(b.scope), cap_tflop=b.cap_tflop) for b in value.budgets
                ],
                phases=[
                    pb.PhaseRule(
                        scope=scope_to(p.scope),
                        phase=checks.wire(p.phase),
                        from_unix_ms=p.from_unix_ms,
                    )
                    for p in value.phases
                ],
                tiers=[
                    pb.Tier(
                        training_tflop=tier.training_tflop,
                        inference_tflop_per_s=tier.inference_tflop_per_s,
                    )
                    for tier in value.tiers
                ],
                **{name: getattr(value, name) for name in _POLICY_COUNTS},
            )
        case Pause():
            return PayloadType.PAUSE, pb.Pause(
                format=checks.FORMAT,
                authority=value.authority,
                scope=scope_to(value.scope),
                nonce=value.nonce,
                reason=value.reason,
                emergency=value.emergency,
                lapse_ms=value.lapse_ms or 0,
            )
        case Resume():
            return PayloadType.RESUME, pb.Resume(
                format=checks.FORMAT,
                authority=value.authority,
                lifts=value.lifts,
                nonce=value.nonce,
                reason=value.reason,
            )
        case Reconciliation():
            return PayloadType.RECONCILIATION, pb.Reconciliation(
                format=checks.FORMAT,
                authority=value.authority,
                batch_number=value.batch_number,
                nonce=value.nonce,
                reason=value.reason,
                licenses_until_unix_ms=value.licenses_until_unix_ms,
            )
        case ClusterRuling():
            return PayloadType.CLUSTER_RULING, pb.ClusterRuling(
                format=checks.FORMAT,
                authority=value.authority,
                clusters=value.clusters,
                apart=value.apart,
                nonce=value.nonce,
                reason=value.reason,
            )
        case LicenseApproval():
            return PayloadType.LICENSE_APPROVAL, licenses.approval_to(value)
        case _:
            return further_orders.message_of(value)


@lru_cache(maxsize=32)
def decode_order(payload_type: str, data: bytes) -> Order:
    """Order of the given payload type from its payload bytes.

    Each is asked for several times: for whose it is, what it says, and what it changes.

    Raises:
        UnknownVersionError: no order has this payload type.
        MalformedError: the bytes are no such order.
    """
    decoder = _DECODERS.get(payload_type)
    if decoder is None:
        raise UnknownVersionError(
            f"no order has the payload type {payload_type!r}", code="order.type.unknown"
        )
    return decoder(data)


def _trust_root(data: bytes) -> TrustRoot:
    message = checks.parse_exact(pb.TrustRoot(), data)
    checks.check_format(message)
    keys = tuple(
        Key(
            name=checks.text(key.name, "key name", required=True),
            spki=checks.at_most(key.spki, SPKI_BYTES_MAX, "key"),
        )
        for key in checks.few(message.keys, KEYS_MAX, "keys")
    )
    checks.unique([key.spki for key in keys], "keys")
    if not (message.authority_id or message.nonce):
        raise MalformedError(
            "a first trust root without a nonce, of the time before authorities had an id",
            code="trust-root.nonce",
            remedy="Found the authority anew by `flopgate-governor init`, and let its hosts join "
            "it with an empty state_dir.",
        )
    roles = tuple(_role(role, len(keys)) for role in checks.few(message.roles, ROLES_MAX, "roles"))
    checks.unique([role.name for role in roles], "roles")
    return TrustRoot(
        **checks.whose(message, root=True),
        version=checks.count(message.version, "version"),
        keys=keys,
        roles=roles,
        nonce=checks.exact(message.nonce, 0 if message.authority_id else NONCE_BYTES, "nonce"),
    )


def _role(message: pb.Role, key_count: int) -> Role:
    keys = tuple(checks.few(message.keys, KEYS_MAX, "keys of a role"))
    checks.unique(keys, "keys of a role")
    if any(key >= key_count for key in keys) or not 1 <= message.threshold <= len(keys):
        raise MalformedError(
            f"role {message.name!r}: threshold {message.threshold} of {len(keys)} keys",
            code="trust-root.role",
        )
    name = checks.text(message.name, "role name", required=True)
    return Role(name=name, threshold=message.threshold, keys=keys)


def _delegation(data: bytes) -> Delegation:
    message = checks.parse_exact(pb.Delegation(), data)
    checks.check_format(message)
    return Delegation(
        **checks.whose(message),
        serial=checks.count(message.serial, "serial"),
        permit_spki=checks.at_most(message.permit_spki, SPKI_BYTES_MAX, "permit key"),
        span_ms=checks.count(message.span_ms, "span"),
        least_policy_version=checks.count(message.least_policy_version, "least policy version"),
    )


def _policy(data: bytes) -> Policy:
    message = checks.parse_exact(pb.Policy(), data)
    checks.check_format(message)
    counts: dict[str, Any] = {
        name: checks.count(getattr(message, name), name) for name in _POLICY_COUNTS
    }
    if counts["wind_down_ms"] + counts["drain_ms"] >= counts["lifetime_ms"]:
        raise MalformedError(
            "wind-down and drain do not fit into the lifetime",
            code="policy.lifetime",
            remedy="Lengthen the lifetime or shorten the wind-down.",
        )
    budgets = tuple(
        Budget(scope=scope_of(budget.scope), cap_tflop=checks.count(budget.cap_tflop, "cap"))
        for budget in checks.few(message.budgets, BUDGETS_MAX, "budgets")
    )
    checks.unique([budget.scope for budget in budgets], "scopes of budgets")
    return Policy(
        **checks.whose(message),
        capacity_basis=checks.member(CapacityBasis, message.capacity_basis, "capacity basis"),
        charged_figure=checks.member(ChargedFigure, message.charged_figure, "charged figure"),
        budgets=budgets,
        phases=tuple(
            PhaseRule(
                scope=scope_of(rule.scope),
                phase=checks.member(Phase, rule.phase, "phase"),
                from_unix_ms=checks.count(rule.from_unix_ms, "from_unix_ms"),
            )
            for rule in checks.few(message.phases, PHASES_MAX, "phase rules")
        ),
        tiers=tuple(
            Tier(
                training_tflop=checks.count(tier.training_tflop, "training_tflop"),
                inference_tflop_per_s=checks.count(
                    tier.inference_tflop_per_s, "inference_tflop_per_s"
                ),
            )
            for tier in checks.few(message.tiers, TIERS_MAX, "tiers")
        ),
        **counts,
    )


def _pause(data: bytes) -> Pause:
    message = checks.parse_exact(pb.Pause(), data)
    checks.check_format(message)
    return Pause(
        **checks.whose(message),
        scope=scope_of(message.scope),
        nonce=checks.exact(message.nonce, NONCE_BYTES, "nonce"),
        reason=checks.text(message.reason, "reason", required=True),
        emergency=message.emergency,
        lapse_ms=checks.count(message.lapse_ms, "lapse") or None,
    )


def _resume(data: bytes) -> Resume:
    message = checks.parse_exact(pb.Resume(), data)
    checks.check_format(message)
    lifts = tuple(
        checks.digest(lifted, "lifted pause")
        for lifted in checks.few(message.lifts, PAUSES_MAX, "lifted pauses")
    )
    if not lifts:
        raise MalformedError("a resume that lifts nothing", code="resume.empty")
    return Resume(
        **checks.whose(message),
        lifts=lifts,
        nonce=checks.exact(message.nonce, NONCE_BYTES, "nonce"),
        reason=checks.text(message.reason, "reason", required=True),
    )


def _reconciliation(data: bytes) -> Reconciliation:
    message = checks.parse_exact(pb.Reconciliation(), data)
    checks.check_format(message)
    return Reconciliation(
        **checks.whose(message),
        batch_number=checks.count(message.batch_number, "batch number"),
        nonce=checks.exact(message.nonce, NONCE_BYTES, "nonce"),
        reason=checks.text(message.reason, "reason", required=True),
        licenses_until_unix_ms=checks.count(
            message.licenses_until_unix_ms, "licenses_until_unix_ms"
        ),
    )


def _cluster_ruling(data: bytes) -> ClusterRuling:
    message = checks.parse_exact(pb.ClusterRuling(), data)
    checks.check_format(message)
    clusters = tuple(
        checks.text(name, "cluster", required=True)
        for name in checks.few(message.clusters, RULED_CLUSTERS_MAX, "clusters")
    )
    checks.unique(clusters, "clusters")
    if len(clusters) < (1 if message.apart else 2):
        raise MalformedError(
            f"a ruling on {len(clusters)} clusters",
            code="ruling.clusters",
            remedy="Name two that are one, or one that stands apart.",
        )
    return ClusterRuling(
        **checks.whose(message),
        clusters=clusters,
        apart=message.apart,
        nonce=checks.exact(message.nonce, NONCE_BYTES, "nonce"),
        reason=checks.text(message.reason, "reason", required=True),
    )


_DECODERS: Final[dict[str, Callable[[bytes], Order]]] = {
    PayloadType.TRUST_ROOT: _trust_root,
    PayloadType.DELEGATION: _delegation,
    PayloadType.POLICY: _policy,
    PayloadType.PAUSE: _pause,
    PayloadType.RESUME: _resume,
    PayloadType.RECONCILIATION: _reconciliation,
    PayloadType.CLUSTER_RULING: _cluster_ruling,
    PayloadType.LICENSE_APPROVAL: licenses.decode_approval,
    **further_orders.DECODERS,
}
