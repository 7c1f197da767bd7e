"""Values of the vectors that concern licenses: requests, approvals, what opens, what time it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from flopgate_proto.codec import (
    PayloadType,
    encode_answer,
    encode_opening,
    encode_order,
    encode_report,
    encode_trusted_time,
)
from flopgate_proto.values import (
    LicenseApproval,
    LicenseQuote,
    LicenseState,
    LicenseWish,
    Report,
    ReserveOpening,
    TrustedTime,
)
from vectors import answers, inputs, order_inputs

DAY_MS: Final = 86_400_000
POLICY: Final = replace(
    order_inputs.POLICY,
    license_span_ms=14 * DAY_MS,
    license_age_ms=30 * DAY_MS,
    license_headroom_max_tflop=10**12,
    license_step_ms=1_800_000,
    reserve_after_ms=3 * DAY_MS,
    reserve_span_ms=DAY_MS,
    reserve_headroom_max_tflop=10**10,
)
TIME: Final = TrustedTime(
    authority=inputs.AUTHORITY, governor_unix_ms=inputs.GOVERNOR_UNIX_MS + DAY_MS
)
_WISH: Final = LicenseWish(span_ms=7 * DAY_MS)


def approval(request: bytes) -> LicenseApproval:
    """Seven days for one request."""
    return LicenseApproval(
        authority=inputs.AUTHORITY,
        authority_id=order_inputs.AUTHORITY_ID,
        requests=(request,),
        not_before_unix_ms=inputs.GOVERNOR_UNIX_MS,
        not_after_unix_ms=inputs.GOVERNOR_UNIX_MS + 14 * DAY_MS,
        span_ms=7 * DAY_MS,
        headroom_max_tflop=10**9,
        reserve=False,
        nonce=inputs.ORDER_NONCE,
        reason="The site is cut off for a week.",
    )


def reserve_approval(request: bytes) -> LicenseApproval:
    """A day, which two of the custodian's own officers open."""
    return replace(
        approval(request),
        span_ms=DAY_MS,
        reserve=True,
        opener_spkis=(inputs.KEYS["officer-2"].spki, inputs.KEYS["stranger"].spki),
        opener_threshold=2,
        reason="What must not stop running.",
    )


def opening(approved: bytes) -> ReserveOpening:
    """Of the reserve licenses of one approval."""
    return ReserveOpening(
        authority=inputs.AUTHORITY,
        approval=approved,
        nonce=inputs.ORDER_NONCE,
        reason="Nobody answers since Monday.",
    )


def asking(report: Report) -> Report:
    """The same report, but it asks for a license."""
    return replace(
        report, request=replace(report.request, license=_WISH) if report.request else None
    )


def holding(tpm: Report, request: bytes) -> Report:
    """The report of a host with a TPM that runs on a license, beside which a reserve lies."""
    state = LicenseQuote(
        state=LicenseState.HELD, request=request, floor=tpm.sequence - 1, used_ms=1_800_000
    )
    sealed = LicenseQuote(state=LicenseState.SEALED, request=request[::-1], floor=1)
    return replace(
        tpm,
        tpm=replace(tpm.tpm, spent_counter=1) if tpm.tpm else None,
        quotes=tuple(replace(quote, license=state, reserve=sealed) for quote in tpm.quotes),
    )


def _bad_approvals() -> tuple[tuple[str, LicenseApproval, str], ...]:
    valid, reserve = approval(bytes(32)), reserve_approval(bytes(32))
    openers = "license.approval.openers"
    return (
        ("approval-of-nothing", replace(valid, requests=()), "license.approval.empty"),
        (
            "approval-of-one-request-twice",
            replace(valid, requests=(bytes(32),) * 2),
            "field.duplicate",
        ),
        ("approval-for-no-span", replace(valid, span_ms=0), "license.approval.time"),
        (
            "approval-that-ends-before-it-begins",
            replace(valid, not_after_unix_ms=valid.not_before_unix_ms),
            "license.approval.time",
        ),
        ("openers-of-no-reserve", replace(reserve, reserve=False), openers),
        ("reserve-without-openers", replace(valid, reserve=True), openers),
        ("reserve-opened-by-nobody", replace(reserve, opener_threshold=0), openers),
        ("reserve-opened-by-more-than-there-are", replace(reserve, opener_threshold=3), openers),
        ("approval-without-a-reason", replace(valid, reason=""), "field.empty"),
    )


def bad() -> tuple[tuple[str, str, bytes, str], ...]:
    """Payloads that are refused: name, payload type, bytes, code."""
    report = asking(inputs.first_report(bytes(32)))
    quote = replace(report.quotes[0], license=LicenseQuote(state=LicenseState.HELD))
    sealed = LicenseQuote(state=LicenseState.SEALED, request=bytes(32))
    as_license = replace(report.quotes[0], license=sealed)
    as_reserve = replace(report.quotes[0], reserve=replace(sealed, state=LicenseState.HELD))
    no_span = replace(report.request, license=LicenseWish(span_ms=0)) if report.request else None
    answer, no_steps = answers.licensed(bytes(32)), replace(answers.LICENSE, step_ms=0)
    terms = replace(answer.terms, license=no_steps) if answer.terms else None
    return (
        *((name, *encode_order(order), code) for name, order, code in _bad_approvals()),
        (
            "license-held-and-not-named",
            PayloadType.REPORT,
            encode_report(replace(report, quotes=(quote,))),
            "license.quote",
        ),
        *(
            (name, PayloadType.REPORT, encode_report(replace(report, quotes=(one,))), code)
            for name, one, code in (
                ("reserve-quoted-as-a-license", as_license, "license.quote"),
                ("license-quoted-as-a-reserve", as_reserve, "license.quote"),
            )
        ),
        (
            "license-asked-for-no-time",
            PayloadType.REPORT,
            encode_report(replace(report, request=no_span)),
            "license.wish",
        ),
        (
            "license-in-steps-of-nothing",
            PayloadType.ANSWER,
            encode_answer(replace(answer, terms=terms)),
            "license.step",
        ),
        (
            "opening-of-no-approval",
            PayloadType.RESERVE_OPENING,
            encode_opening(opening(b"")),
            "field.size",
        ),
        (
            "time-of-nobody",
            PayloadType.TRUSTED_TIME,
            encode_trusted_time(replace(TIME, authority="")),
            "field.empty",
        ),
    )
