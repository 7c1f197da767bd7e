"""Hypothesis strategies for every statement, each field over its whole range."""

from __future__ import annotations

import enum
from typing import Any, Final, TypeVar

from hypothesis import strategies as st

from flopgate_proto.limits import CHIPS_MAX, COUNT_MAX, SPKI_BYTES_MAX, TEXT_BYTES_MAX
from flopgate_proto.values import (
    Admission,
    Answer,
    Assurance,
    BatchRoot,
    Ceiling,
    ChipIdentity,
    ChipRow,
    ChipTopology,
    CounterSource,
    Enrolment,
    Figures,
    Finding,
    LaneReport,
    LaneRequest,
    LaneState,
    LaneTotals,
    LicenseQuote,
    LicenseState,
    LicenseTerms,
    LicenseWish,
    NvLinkPeer,
    Phase,
    PipeFigures,
    Port,
    Quote,
    Refusal,
    Report,
    Request,
    Scope,
    ScopeKind,
    Severity,
    SingleUse,
    Software,
    Terms,
    Topology,
    TpmState,
    Verdict,
)

T = TypeVar("T")
E = TypeVar("E", bound=enum.IntEnum)

COUNTS: Final = st.one_of(
    st.integers(0, COUNT_MAX), st.sampled_from((0, 1, 127, 128, 2**32, COUNT_MAX))
)
UINT32: Final = st.integers(0, 2**32 - 1)
UINT64: Final = st.integers(0, 2**64 - 1)
DIGESTS: Final = st.binary(min_size=32, max_size=32)
NONCES: Final = st.binary(min_size=16, max_size=16)
KEYS: Final = st.binary(max_size=64) | st.just(b"\x30" * SPKI_BYTES_MAX)
_PRINTABLE: Final = st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp"))
_LONGEST: Final = st.sampled_from(("x" * TEXT_BYTES_MAX, "é" * (TEXT_BYTES_MAX // 2)))
NAMES: Final = st.text(_PRINTABLE, min_size=1, max_size=20) | _LONGEST
TEXTS: Final = st.just("") | NAMES


def few(elements: st.SearchStrategy[T], maximum: int = 3) -> st.SearchStrategy[tuple[T, ...]]:
    """None to a few of them."""
    return st.lists(elements, max_size=maximum).map(tuple)


def different(
    elements: st.SearchStrategy[T], field: str, maximum: int = 3
) -> st.SearchStrategy[tuple[T, ...]]:
    """None to a few of them that differ in a field."""

    def key(value: T) -> Any:
        return getattr(value, field)

    return st.lists(elements, max_size=maximum, unique_by=key).map(tuple)


def members(kind: type[E]) -> st.SearchStrategy[E]:
    """A member of an enum."""
    return st.sampled_from(list(kind))


SCOPES: Final = st.just(Scope(ScopeKind.EVERYTHING)) | st.builds(
    Scope, st.sampled_from([kind for kind in ScopeKind if kind is not ScopeKind.EVERYTHING]), NAMES
)
FIGURES: Final = (
    st.tuples(COUNTS, COUNTS, COUNTS)
    .map(sorted)
    .map(lambda c: Figures(low_tflop=c[0], nominal_tflop=c[1], high_tflop=c[2]))
)
FINDINGS: Final = st.builds(
    Finding, id=NAMES, severity=members(Severity), subject=TEXTS, detail=TEXTS
)
SOFTWARE: Final = st.builds(Software, name=NAMES, version=NAMES, digest=DIGESTS)

CHIP_IDENTITIES: Final = st.builds(
    ChipIdentity,
    vendor=NAMES,
    uuid=NAMES,
    serial=TEXTS,
    pdi=st.none() | st.integers(1, 2**64 - 1),
    name=NAMES,
    pci_device_id=UINT32,
)
PORTS: Final = st.builds(
    Port,
    node_guid=st.none() | UINT64,
    number=UINT32,
    link_layer=TEXTS,
    active=st.none() | st.booleans(),
    guid=st.none() | UINT64,
    rate_mbit_per_s=st.none() | COUNTS,
    subnet_prefix=st.none() | UINT64,
    lid=st.none() | UINT32,
    subnet_manager_lid=st.none() | UINT32,
    subnet_manager_guid=st.none() | UINT64,
    unknown=TEXTS,
)
NVLINK_PEERS: Final = st.builds(
    NvLinkPeer,
    kind=TEXTS,
    peer=TEXTS,
    links=st.integers(0, 36),
    rate_mbit_per_s=st.none() | COUNTS,
)
CHIP_TOPOLOGIES: Final = st.builds(
    ChipTopology,
    uuid=NAMES,
    fabric_cluster_uuid=st.just(b"") | NONCES,
    fabric_clique=st.none() | UINT32,
    platform_guid=st.binary(max_size=16),
    chassis_serial=TEXTS,
    slot=st.none() | UINT32,
    tray=st.none() | UINT32,
    host=st.none() | UINT32,
    module=st.none() | UINT32,
    peer_type=st.none() | UINT32,
    peers=few(NVLINK_PEERS),
    unknown=TEXTS,
)
TOPOLOGIES: Final = st.builds(
    Topology,
    chips=different(CHIP_TOPOLOGIES, "uuid"),
    ports=few(PORTS),
    unknown=TEXTS,
)


LANE_TOTALS: Final = st.builds(
    LaneTotals,
    workload=NAMES,
    total=FIGURES,
    allotted_tflop=COUNTS,
    unaccounted_tflop=COUNTS,
)


@st.composite
def enrolments(draw: st.DrawFn) -> Enrolment:
    """Any enrolment, with a token or without."""
    token = draw(st.booleans())
    return Enrolment(
        authority=draw(NAMES),
        trust_root_digest=draw(DIGESTS),
        host_spki=draw(KEYS),
        chips=draw(different(CHIP_IDENTITIES, "uuid")),
        cluster=draw(NAMES),
        custodian=draw(NAMES),
        site=draw(TEXTS),
        jurisdiction=draw(TEXTS),
        driver_version=draw(TEXTS),
        software=draw(SOFTWARE),
        assurance=draw(members(Assurance)),
        courier_spki=draw(KEYS),
        token_id=draw(NONCES) if token else b"",
        token_proof=draw(DIGESTS) if token else b"",
        boot_id=draw(NONCES),
        made_ms=draw(COUNTS),
        sequence=draw(COUNTS),
        head=draw(DIGESTS),
        lanes=draw(different(LANE_TOTALS, "workload")),
    )


@st.composite
def _lanes(draw: st.DrawFn) -> tuple[LaneReport, ...]:
    workloads = draw(st.lists(NAMES, max_size=3, unique=True))
    chips = draw(st.permutations(range(6)))
    return tuple(
        LaneReport(
            workload=workload,
            state=draw(members(LaneState)),
            chips=tuple(chips[2 * n : 2 * n + draw(st.integers(0, 2))]),
            measured=draw(FIGURES),
            gap=draw(FIGURES),
            total=draw(FIGURES),
            allotted_tflop=draw(COUNTS),
            unaccounted_tflop=draw(COUNTS),
            stop_reason=draw(TEXTS),
        )
        for n, workload in enumerate(workloads)
    )


@st.composite
def license_quotes(draw: st.DrawFn, *, reserve: bool) -> LicenseQuote:
    """Any place of a gate with licenses of a kind, and what it must name."""
    held = (LicenseState.SEALED, LicenseState.OPENED) if reserve else (LicenseState.HELD,)
    state = draw(st.sampled_from((LicenseState.NONE, *held)))
    return LicenseQuote(
        state=state,
        request=b"" if state is LicenseState.NONE else draw(DIGESTS),
        floor=draw(COUNTS),
        used_ms=draw(COUNTS),
        opening=draw(DIGESTS) if state is LicenseState.OPENED else b"",
    )


WISHES: Final = st.none() | st.builds(
    LicenseWish, span_ms=st.integers(1, COUNT_MAX), reserve=st.booleans()
)
LICENSE_TERMS: Final = st.builds(
    LicenseTerms,
    approval=DIGESTS,
    step_ms=st.integers(1, COUNT_MAX),
    single_use=members(SingleUse),
)
QUOTES: Final = st.builds(
    Quote,
    authority=NAMES,
    answer_digest=st.just(b"") | DIGESTS,
    batch_number=COUNTS,
    grant=st.just(b"") | DIGESTS,
    license=st.none() | license_quotes(reserve=False),
    reserve=st.none() | license_quotes(reserve=True),
)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Any report, with a request for some of its lanes or without."""
    start_ms, end_ms, made_ms = sorted(draw(st.tuples(COUNTS, COUNTS, COUNTS)))
    lanes = draw(_lanes())
    asked = tuple(
        LaneRequest(workload=lane.workload, headroom_tflop=draw(COUNTS))
        for lane in lanes
        if draw(st.booleans())
    )
    return Report(
        host_id=draw(DIGESTS),
        sequence=draw(st.integers(1, COUNT_MAX)),
        previous=draw(DIGESTS),
        run_nonce=draw(NONCES),
        boot_id=draw(NONCES),
        interval_start_ms=start_ms,
        interval_end_ms=end_ms,
        made_ms=made_ms,
        wall_unix_ms=draw(COUNTS),
        lanes=lanes,
        chip_root=draw(DIGESTS),
        chip_count=draw(st.integers(0, CHIPS_MAX)),
        quotes=draw(different(QUOTES, "authority")),
        assurance=draw(members(Assurance)),
        software=draw(SOFTWARE),
        topology=draw(st.none() | TOPOLOGIES),
        findings=draw(few(FINDINGS)),
        running_ms=draw(COUNTS),
        request=draw(st.sampled_from((None, Request(lanes=asked, license=draw(WISHES))))),
        tpm=draw(st.none() | TPM_STATES),
    )


TPM_STATES: Final = st.builds(
    TpmState,
    counter=COUNTS,
    clock_ms=COUNTS,
    reset_count=UINT32,
    restart_count=UINT32,
    safe=st.booleans(),
    spent_counter=COUNTS,
)
CHIP_ROWS: Final = st.builds(
    ChipRow,
    chip=UINT32,
    source=members(CounterSource),
    assurance=members(Assurance),
    pipes=few(st.builds(PipeFigures, pipe=NAMES, total=FIGURES)),
    measured_ms=COUNTS,
    gap_ms=COUNTS,
    energy_mj=st.none() | COUNTS,
    counters=few(st.tuples(NAMES, COUNTS)),
)

REFUSALS: Final = st.builds(
    Refusal, reason=NAMES, detail=TEXTS, way_back=TEXTS, order_digest=st.just(b"") | DIGESTS
)
VERDICTS: Final = st.builds(
    Verdict, workload=NAMES, outcome=st.builds(Ceiling, ceiling_tflop=COUNTS) | REFUSALS
)


@st.composite
def _terms(draw: st.DrawFn) -> Terms:
    lifetime_ms = draw(COUNTS)
    return Terms(
        lifetime_ms=lifetime_ms,
        wind_down_ms=draw(st.integers(0, lifetime_ms)),
        renew_after_ms=draw(st.integers(0, lifetime_ms)),
        exempt=draw(st.booleans()),
        phase=draw(members(Phase)),
        license=draw(st.none() | LICENSE_TERMS),
    )


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Any answer: grants, refusals, both or a mere acknowledgement."""
    verdicts = draw(different(VERDICTS, "workload"))
    granted = any(isinstance(verdict.outcome, Ceiling) for verdict in verdicts)
    return Answer(
        authority=draw(NAMES),
        host_id=draw(DIGESTS),
        request_digest=draw(DIGESTS),
        run_nonce=draw(NONCES),
        acknowledged_sequence=draw(COUNTS),
        acknowledged_head=draw(DIGESTS),
        governor_unix_ms=draw(COUNTS),
        scopes=draw(few(SCOPES)),
        pauses=draw(few(DIGESTS)),
        policy_version=draw(COUNTS),
        verdicts=verdicts,
        terms=draw(_terms()) if granted else None,
    )


BATCH_ROOTS: Final = st.builds(
    BatchRoot,
    origin=NAMES,
    batch_number=COUNTS,
    tree_size=COUNTS,
    root=DIGESTS,
    previous=DIGESTS,
    policy_digest=st.just(b"") | DIGESTS,
)
ADMISSIONS: Final = st.builds(
    Admission,
    authority=NAMES,
    host_id=DIGESTS,
    enrolment_digest=DIGESTS,
    scopes=few(SCOPES),
    governor_unix_ms=COUNTS,
    trust_root_digest=DIGESTS,
    policy_digest=st.just(b"") | DIGESTS,
)
