"""Approvals of licenses, openings of reserves, trusted time; parts of requests and answers."""

from __future__ import annotations

from flopgate_proto.codec import checks
from flopgate_proto.errors import MalformedError
from flopgate_proto.limits import KEYS_MAX, LICENSED_HOSTS_MAX, NONCE_BYTES, SPKI_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import LicenseState, SingleUse
from flopgate_proto.values.licenses import (
    LicenseApproval,
    LicenseQuote,
    LicenseTerms,
    LicenseWish,
    ReserveOpening,
    TrustedTime,
)


def approval_to(value: LicenseApproval) -> pb.LicenseApproval:
    """Message of an approval."""
    return pb.LicenseApproval(
        format=checks.FORMAT,
        authority=value.authority,
        requests=value.requests,
        not_before_unix_ms=value.not_before_unix_ms,
        not_after_unix_ms=value.not_after_unix_ms,
        span_ms=value.span_ms,
        headroom_max_tflop=value.headroom_max_tflop,
        reserve=value.reserve,
        opener_spkis=value.opener_spkis,
        opener_threshold=value.opener_threshold,
        nonce=value.nonce,
        reason=value.reason,
    )


def decode_approval(data: bytes) -> LicenseApproval:
    """Approval from verified payload bytes."""
    message = checks.check_format(checks.parse_exact(pb.LicenseApproval(), data))
    requests = tuple(
        checks.digest(one, "request")
        for one in checks.few(message.requests, LICENSED_HOSTS_MAX, "requests")
    )
    checks.unique(requests, "requests")
    openers = tuple(
        checks.at_most(one, SPKI_BYTES_MAX, "opener key")
        for one in checks.few(message.opener_spkis, KEYS_MAX, "opener keys")
    )
    checks.unique(openers, "opener keys")
    if not requests:
        raise MalformedError("an approval of no request", code="license.approval.empty")
    if message.not_before_unix_ms >= message.not_after_unix_ms or not message.span_ms:
        raise MalformedError(
            "an approval for no time",
            code="license.approval.time",
            remedy="Approve a span, and an end that comes after the beginning.",
        )
    least = 1 if message.reserve else 0
    if not least <= message.opener_threshold <= len(openers) or bool(openers) != message.reserve:
        raise MalformedError(
            f"{message.opener_threshold} of {len(openers)} openers"
            f" of {'a' if message.reserve else 'no'} reserve",
            code="license.approval.openers",
            remedy="A reserve names its openers and how many of them open it; nothing else does.",
        )
    return LicenseApproval(
        **checks.whose(message),
        requests=requests,
        not_before_unix_ms=checks.count(message.not_before_unix_ms, "not_before_unix_ms"),
        not_after_unix_ms=checks.count(message.not_after_unix_ms, "not_after_unix_ms"),
        span_ms=checks.count(message.span_ms, "span"),
        headroom_max_tflop=checks.count(message.headroom_max_tflop, "headroom"),
        reserve=message.reserve,
        opener_spkis=openers,
        opener_threshold=message.opener_threshold,
        nonce=checks.exact(message.nonce, NONCE_BYTES, "nonce"),
        reason=checks.text(message.reason, "reason", required=True),
    )


def encode_opening(value: ReserveOpening) -> bytes:
    """Payload bytes of the opening of a reserve."""
    return pb.ReserveOpening(
        format=checks.FORMAT,
        authority=value.authority,
        approval=value.approval,
        nonce=value.nonce,
        reason=value.reason,
    ).SerializeToString(deterministic=True)


def decode_opening(data: bytes) -> ReserveOpening:
    """Opening of a reserve from verified payload bytes."""
    message = checks.check_format(checks.parse_exact(pb.ReserveOpening(), data))
    return ReserveOpening(
        authority=checks.text(message.authority, "authority", required=True),
        approval=checks.digest(message.approval, "approval"),
        nonce=checks.exact(message.nonce, NONCE_BYTES, "nonce"),
        reason=checks.text(message.reason, "reason", required=True),
    )


def encode_trusted_time(value: TrustedTime) -> bytes:
    """Payload bytes of a statement that tells the time."""
    return pb.TrustedTime(
        format=checks.FORMAT,
        authority=value.authority,
        governor_unix_ms=value.governor_unix_ms,
    ).SerializeToString(deterministic=True)


def decode_trusted_time(data: bytes) -> TrustedTime:
    """Time told, from verified payload bytes."""
    message = checks.check_format(checks.parse_exact(pb.TrustedTime(), data))
    return TrustedTime(
        authority=checks.text(message.authority, "authority", required=True),
        governor_unix_ms=checks.count(message.governor_unix_ms, "governor time"),
    )


def terms_to(value: LicenseTerms) -> pb.LicenseTerms:
    """Message of what makes terms those of a license."""
    return pb.LicenseTerms(
        approval=value.approval, step_ms=value.step_ms, single_use=checks.wire(value.single_use)
    )


def terms_of(message: pb.LicenseTerms) -> LicenseTerms:
    """Value of the same."""
    if not message.step_ms:
        raise MalformedError("a license in steps of nothing", code="license.step")
    return LicenseTerms(
        approval=checks.digest(message.approval, "approval"),
        step_ms=checks.count(message.step_ms, "step"),
        single_use=checks.member(SingleUse, message.single_use, "single use"),
    )


def wish_of(message: pb.LicenseWish) -> LicenseWish:
    """Value of what is wished for."""
    if not message.span_ms:
        raise MalformedError("a license for no time is asked for", code="license.wish")
    return LicenseWish(span_ms=checks.count(message.span_ms, "span"), reserve=message.reserve)


def quote_to(value: LicenseQuote) -> pb.LicenseQuote:
    """Message of where a gate stands."""
    return pb.LicenseQuote(
        state=checks.wire(value.state),
        request=value.request,
        floor=value.floor,
        used_ms=value.used_ms,
        opening=value.opening,
    )


def quote_of(message: pb.LicenseQuote, *, reserve: bool) -> LicenseQuote:
    """Value of the same; ``reserve``: of reserve licenses, which no other state fits."""
    quote = LicenseQuote(
        state=checks.member(LicenseState, message.state, "license state"),
        request=checks.digest_or_empty(message.request, "request of a license"),
        floor=checks.count(message.floor, "floor"),
        used_ms=checks.count(message.used_ms, "used_ms"),
        opening=checks.digest_or_empty(message.opening, "opening"),
    )
    held = quote.state is not LicenseState.NONE
    if held != bool(quote.request) or bool(quote.opening) != (quote.state is LicenseState.OPENED):
        raise MalformedError("a license held and not named, or the reverse", code="license.quote")
    if held and (quote.state is not LicenseState.HELD) != reserve:
        raise MalformedError("a reserve quoted as a license, or the reverse", code="license.quote")
    return quote
