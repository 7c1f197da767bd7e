"""What an authority's online key signs: answers, the roots of their batches, admissions."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_proto.quick import quick
from flopgate_proto.values.common import Phase, Scope
from flopgate_proto.values.licenses import LicenseTerms


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """Granted: the host's allotted total of the workload may reach this, never go above.

    ``peak_tflop_per_s``: of a license, the peak of the chips that it was asked for with; a lane
    whose chips can do more does not run by it. 0 in a permit.
    """

    ceiling_tflop: int
    peak_tflop_per_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Not granted. ``reason`` is a stable id; ``order_digest`` is empty without an order."""

    reason: str
    detail: str
    way_back: str
    order_digest: bytes = b""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one lane gets."""

    workload: str
    outcome: Ceiling | Refusal


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long what is granted holds. All three spans lie inside ``lifetime_ms``.

    ``lifetime_ms`` counts from the making of the request, on the host's elapsed clock; of a
    ``license`` it is the span, and counts gate running time spent.
    """

    lifetime_ms: int
    wind_down_ms: int
    renew_after_ms: int
    exempt: bool
    phase: Phase
    license: LicenseTerms | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Returned to one report: acknowledgement, and a verdict for each lane asked for.

    Attributes:
        request_digest: digest of the report that is answered.
        acknowledged_sequence: highest sequence of the chain that is durable at the governor.
        acknowledged_head: digest of the report with that sequence.
        scopes: all scopes the authority puts the host in.
        pauses: digests of this authority's pauses in force for the host.
        terms: set when at least one verdict is a ceiling.
    """

    authority: str
    host_id: bytes
    request_digest: bytes
    run_nonce: bytes
    acknowledged_sequence: int
    acknowledged_head: bytes
    governor_unix_ms: int
    scopes: tuple[Scope, ...]
    pauses: tuple[bytes, ...]
    policy_version: int
    verdicts: tuple[Verdict, ...]
    terms: Terms | None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRoot:
    """Signed root over the answers of one transaction; what the log records.

    ``policy_digest``: of the policy in force, empty before the first.
    """

    origin: str
    batch_number: int
    tree_size: int
    root: bytes
    previous: bytes
    policy_digest: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The host is enrolled: its chain starts at the enrolment with this digest.

    ``trust_root_digest`` and ``policy_digest`` are of those in force; the second is empty before
    the first policy.
    """

    authority: str
    host_id: bytes
    enrolment_digest: bytes
    scopes: tuple[Scope, ...]
    governor_unix_ms: int
    trust_root_digest: bytes
    policy_digest: bytes = b""
