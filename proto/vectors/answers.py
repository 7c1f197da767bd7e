"""Frozen answers of the vectors: grant, refusal, acknowledgement, exemption, license."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from flopgate_proto.values import (
    Answer,
    Ceiling,
    LicenseTerms,
    Phase,
    Refusal,
    Scope,
    ScopeKind,
    SingleUse,
    Terms,
    Verdict,
)
from vectors import inputs

SCOPES: Final = (
    Scope(ScopeKind.EVERYTHING),
    Scope(ScopeKind.JURISDICTION, "XX"),
    Scope(ScopeKind.CUSTODIAN, "operator.example"),
    Scope(ScopeKind.SITE, "site-1"),
    inputs.CLUSTER,
    Scope(ScopeKind.WORKLOAD, "run-7"),
)
PAUSE_DIGEST: Final = bytes([0x9A] * 32)
LICENSE: Final = LicenseTerms(
    approval=bytes([0xA9] * 32), step_ms=1_800_000, single_use=SingleUse.TPM
)


def _terms(*, exempt: bool) -> Terms:
    return Terms(
        lifetime_ms=86_400_000 if exempt else 600_000,
        wind_down_ms=120_000,
        renew_after_ms=120_000,
        exempt=exempt,
        phase=Phase.ENFORCE,
    )


def _answer(
    request_digest: bytes,
    verdicts: tuple[Verdict, ...],
    terms: Terms | None,
    *,
    pauses: tuple[bytes, ...] = (),
    sequence: int = 1,
) -> Answer:
    return Answer(
        authority=inputs.AUTHORITY,
        host_id=inputs.HOST_ID,
        request_digest=request_digest,
        run_nonce=inputs.RUN_NONCE,
        acknowledged_sequence=sequence,
        acknowledged_head=request_digest,
        governor_unix_ms=inputs.GOVERNOR_UNIX_MS,
        scopes=SCOPES,
        pauses=pauses,
        policy_version=3,
        verdicts=verdicts,
        terms=terms,
    )


def grant(request_digest: bytes) -> Answer:
    """One ceiling."""
    verdict = Verdict(workload="run-7", outcome=Ceiling(ceiling_tflop=1_055_000))
    return _answer(request_digest, (verdict,), _terms(exempt=False))


def _refusal() -> Verdict:
    return Verdict(
        workload="undeclared",
        outcome=Refusal(
            reason="pause.latched",
            detail="A pause of cluster:hall-1 is in force.",
            way_back="Ask the oversight body for a resume of this pause.",
            order_digest=PAUSE_DIGEST,
        ),
    )


def batch(size: int) -> list[Answer]:
    """As many answers, to as many requests, of every kind in turn."""
    digests = [hashlib.sha256(b"request %d" % number).digest() for number in range(size)]
    return [_KINDS[number % len(_KINDS)](digest) for number, digest in enumerate(digests)]


def _refused(request_digest: bytes) -> Answer:
    return _answer(request_digest, (_refusal(),), None, pauses=(PAUSE_DIGEST,))


def _acknowledged(request_digest: bytes) -> Answer:
    return _answer(request_digest, (), None, sequence=2**63 - 1)


def _exempt(request_digest: bytes) -> Answer:
    most = Verdict(workload="run-7", outcome=Ceiling(ceiling_tflop=2**63 - 1))
    return _answer(request_digest, (most, _refusal()), _terms(exempt=True))


def licensed(request_digest: bytes) -> Answer:
    """One ceiling for a week of running time."""
    terms = replace(_terms(exempt=False), lifetime_ms=604_800_000, license=LICENSE)
    ceiling = Ceiling(ceiling_tflop=1_055_000, peak_tflop_per_s=2_376)
    verdict = Verdict(workload="run-7", outcome=ceiling)
    return replace(grant(request_digest), terms=terms, verdicts=(verdict,))


_KINDS: Final = (grant, _refused, _acknowledged, _exempt, licensed)
