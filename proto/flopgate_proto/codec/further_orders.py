"""Orders about other orders, about keys, chains and seats: one encoder and one decoder each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.message import Message

from flopgate_proto.codec import checks
from flopgate_proto.codec.payload_types import PayloadType
from flopgate_proto.errors import MalformedError
from flopgate_proto.limits import NONCE_BYTES, PARENTS_MAX, PAUSES_MAX, QUOTES_MAX, TIERS_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import Standing, WorkloadKind
from flopgate_proto.values.orders import (
    Adoption,
    Closure,
    Confirmation,
    Registration,
    Relief,
    Revocation,
    Seat,
    Seats,
    Veto,
)

FurtherOrder = Veto | Confirmation | Revocation | Adoption | Closure | Relief | Registration | Seats


def message_of(value: FurtherOrder) -> tuple[PayloadType, Message]:
    """Payload type and message of one of these orders."""
    if isinstance(value, Seats):
        seats = [
            pb.Seat(authority=seat.authority, standing=checks.wire(seat.standing))
            for seat in value.seats
        ]
        return PayloadType.SEATS, pb.Seats(
            format=checks.FORMAT,
            authority=value.authority,
            version=value.version,
            seats=seats,
            reason=value.reason,
            fallback_ms=value.fallback_ms,
        )
    if isinstance(value, Registration):
        return PayloadType.REGISTRATION, pb.Registration(
            format=checks.FORMAT,
            authority=value.authority,
            workload=value.workload,
            kind=checks.wire(value.kind),
            custodian=value.custodian,
            parents=value.parents,
            tier=value.tier,
            prior_tflop=value.prior_tflop,
            nonce=value.nonce,
            reason=value.reason,
        )
    kind, message, names = _PLAIN[type(value)]
    fields: dict[str, Any] = {name: getattr(value, name) for name in ("authority", *names)}
    return kind, message(format=checks.FORMAT, **fields, nonce=value.nonce, reason=value.reason)


_PLAIN: Final[Mapping[type, tuple[PayloadType, Callable[..., Message], tuple[str, ...]]]] = {
    Veto: (PayloadType.VETO, pb.Veto, ("order_digest",)),
    Confirmation: (PayloadType.CONFIRMATION, pb.Confirmation, ("pauses",)),
    Revocation: (PayloadType.REVOCATION, pb.Revocation, ("key_digest",)),
    Adoption: (PayloadType.ADOPTION, pb.Adoption, ("host_id", "sequence", "head")),
    Closure: (PayloadType.CLOSURE, pb.Closure, ("host_id",)),
    Relief: (
        PayloadType.RELIEF,
        pb.Relief,
        ("host_id", "workload", "amount_tflop", "evidence_digest"),
    ),
}
"""Fields between the authority and the nonce."""


def _signed(message: Any) -> dict[str, Any]:
    """What stands in each: by whom, unlike any other, and why."""
    return {
        **checks.whose(message),
        "nonce": checks.exact(message.nonce, NONCE_BYTES, "nonce"),
        "reason": checks.text(message.reason, "reason", required=True),
    }


def _veto(data: bytes) -> Veto:
    message = checks.check_format(checks.parse_exact(pb.Veto(), data))
    return Veto(order_digest=checks.digest(message.order_digest, "order"), **_signed(message))


def _confirmation(data: bytes) -> Confirmation:
    message = checks.check_format(checks.parse_exact(pb.Confirmation(), data))
    pauses = tuple(
        checks.digest(pause, "confirmed pause")
        for pause in checks.few(message.pauses, PAUSES_MAX, "confirmed pauses")
    )
    if not pauses:
        raise MalformedError("a confirmation of no pause", code="confirmation.empty")
    return Confirmation(pauses=pauses, **_signed(message))


def _revocation(data: bytes) -> Revocation:
    message = checks.check_format(checks.parse_exact(pb.Revocation(), data))
    return Revocation(key_digest=checks.digest(message.key_digest, "key"), **_signed(message))


def _adoption(data: bytes) -> Adoption:
    message = checks.check_format(checks.parse_exact(pb.Adoption(), data))
    return Adoption(
        host_id=checks.digest(message.host_id, "host id"),
        sequence=checks.count(message.sequence, "sequence"),
        head=checks.digest(message.head, "head"),
        **_signed(message),
    )


def _closure(data: bytes) -> Closure:
    message = checks.check_format(checks.parse_exact(pb.Closure(), data))
    return Closure(host_id=checks.digest(message.host_id, "host id"), **_signed(message))


def _relief(data: bytes) -> Relief:
    message = checks.check_format(checks.parse_exact(pb.Relief(), data))
    amount_tflop = checks.count(message.amount_tflop, "amount")
    if amount_tflop == 0:
        raise MalformedError("a relief of nothing", code="relief.empty")
    return Relief(
        host_id=checks.digest(message.host_id, "host id"),
        workload=checks.text(message.workload, "workload", required=True),
        amount_tflop=amount_tflop,
        evidence_digest=checks.digest(message.evidence_digest, "evidence"),
        **_signed(message),
    )


def _registration(data: bytes) -> Registration:
    message = checks.check_format(checks.parse_exact(pb.Registration(), data))
    parents = tuple(
        checks.text(parent, "parent", required=True)
        for parent in checks.few(message.parents, PARENTS_MAX, "parents")
    )
    checks.unique(parents, "parents")
    if message.tier > TIERS_MAX:
        raise MalformedError(
            f"no policy has a tier {message.tier}",
            code="registration.tier",
            remedy=f"Name one of the policy's tiers, {TIERS_MAX} at most; 0: registered only.",
        )
    return Registration(
        workload=checks.text(message.workload, "workload", required=True),
        kind=checks.member(WorkloadKind, message.kind, "kind"),
        custodian=checks.text(message.custodian, "custodian", required=True),
        parents=parents,
        tier=message.tier,
        prior_tflop=checks.count(message.prior_tflop, "prior_tflop"),
        **_signed(message),
    )


def _seats(data: bytes) -> Seats:
    message = checks.check_format(checks.parse_exact(pb.Seats(), data))
    seats = tuple(
        Seat(
            authority=checks.text(seat.authority, "authority of a seat", required=True),
            standing=checks.member(Standing, seat.standing, "standing"),
        )
        for seat in checks.few(message.seats, QUOTES_MAX, "seats")
    )
    checks.unique([seat.authority for seat in seats], "authorities of seats")
    return Seats(
        **checks.whose(message),
        version=checks.count(message.version, "version"),
        seats=seats,
        reason=checks.text(message.reason, "reason", required=True),
        fallback_ms=checks.count(message.fallback_ms, "fallback"),
    )


DECODERS: Final[Mapping[str, Callable[[bytes], FurtherOrder]]] = {
    PayloadType.VETO: _veto,
    PayloadType.CONFIRMATION: _confirmation,
    PayloadType.REVOCATION: _revocation,
    PayloadType.ADOPTION: _adoption,
    PayloadType.CLOSURE: _closure,
    PayloadType.RELIEF: _relief,
    PayloadType.REGISTRATION: _registration,
    PayloadType.SEATS: _seats,
}
