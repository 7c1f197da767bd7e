"""Offline permission: what is wished for, approved, granted, quoted, opened and told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopgate_proto.quick import quick
from flopgate_proto.values.common import LicenseState, SingleUse

LICENSE_STEP_MS: Final = 1_800_000
"""Span of one reservation where policy names none."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseWish:
    """Asks for a license instead of a permit, in the request that carries it.

    Attributes:
        span_ms: of gate running time.
        reserve: sealed, for when every authority is out of reach.
    """

    span_ms: int
    reserve: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseTerms:
    """What makes the terms of an answer those of a license: ``lifetime_ms`` is its span then.

    Attributes:
        approval: digest of the `LicenseApproval` that it stands on.
        step_ms: it is reserved in steps of this span, and of what a lane's chips can do in it.
        single_use: what stands behind law 5.
    """

    approval: bytes
    step_ms: int
    single_use: SingleUse


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseQuote:
    """Where a gate stands with the licenses of one authority that are of one kind.

    Attributes:
        request: digest of the request whose license is held, empty where none is.
        floor: a sequence; no license for a request up to here is taken any more, but the one held.
        used_ms: gate running time spent of its span, reserved time included.
        opening: digest of the statement that opened it, empty unless `OPENED`.
    """

    state: LicenseState
    request: bytes = b""
    floor: int = 0
    used_ms: int = 0
    opening: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseApproval:
    """Officers let licenses be given to these requests, within these bounds.

    Attributes:
        requests: digests of the reports that ask, at least one.
        not_before_unix_ms, not_after_unix_ms: in this order.
        span_ms: most gate running time of each.
        headroom_max_tflop: most that a ceiling may lie above the total reported with its request.
        reserve: sealed until openers open it.
        opener_spkis, opener_threshold: the custodian's own officers; set for a reserve alone.
    """

    authority: str
    requests: tuple[bytes, ...]
    not_before_unix_ms: int
    not_after_unix_ms: int
    span_ms: int
    headroom_max_tflop: int
    reserve: bool
    nonce: bytes
    reason: str
    opener_spkis: tuple[bytes, ...] = ()
    opener_threshold: int = 0
    authority_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveOpening:
    """The custodian's own officers open the reserve licenses of one approval, by its digest."""

    authority: str
    approval: bytes
    nonce: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedTime:
    """An authority's online key tells the time, for hosts without a link."""

    authority: str
    governor_unix_ms: int
