"""What a gate signs: its enrolment and its reports."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_proto.quick import quick
from flopgate_proto.values.common import (
    Assurance,
    CounterSource,
    Figures,
    Finding,
    LaneState,
    Software,
)
from flopgate_proto.values.licenses import LicenseQuote, LicenseWish
from flopgate_proto.values.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipIdentity:
    """One accelerator. ``pdi`` is ``None`` and ``serial`` empty where the chip has none."""

    vendor: str
    uuid: str
    serial: str
    pdi: int | None
    name: str
    pci_device_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneTotals:
    """Running totals of one workload on a host, named as in `LaneReport`."""

    workload: str
    total: Figures
    allotted_tflop: int
    unaccounted_tflop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """First statement of a chain: who the host is, and by which token it may join.

    ``token_id`` and ``token_proof`` are empty when a known host asks for a new courier
    certificate: there its host key speaks for itself. ``sequence`` and ``head`` say from where on
    this authority follows the chain: 0 and the host id for a new host. ``lanes`` are the books as
    they stood by then; the authority counts what comes on top.
    """

    authority: str
    trust_root_digest: bytes
    host_spki: bytes
    chips: tuple[ChipIdentity, ...]
    cluster: str
    custodian: str
    site: str
    jurisdiction: str
    driver_version: str
    software: Software
    assurance: Assurance
    courier_spki: bytes
    token_id: bytes
    token_proof: bytes
    boot_id: bytes
    made_ms: int
    sequence: int
    head: bytes
    lanes: tuple[LaneTotals, ...] = ()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LaneReport:
    """One lane in one interval. Charged total = ``allotted_tflop + unaccounted_tflop``.

    Attributes:
        chips: indices into the chips of the enrolment.
        measured: of the interval, from counters that were read.
        gap: of the interval, charged where nothing could be read (law 3).
        total: both, summed since enrolment.
        allotted_tflop: charged under a grant since enrolment, never above its ceiling.
        unaccounted_tflop: charged without a grant since enrolment.
        stop_reason: stable id, empty while the lane runs.
    """

    workload: str
    state: LaneState
    chips: tuple[int, ...]
    measured: Figures
    gap: Figures
    total: Figures
    allotted_tflop: int
    unaccounted_tflop: int
    stop_reason: str = ""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class PipeFigures:
    """Running total of one pipe of one chip since enrolment."""

    pipe: str
    total: Figures


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ChipRow:
    """Leaf of the chip tree: one chip's running totals, and raw counters by name.

    ``counters`` are as the driver gave them at the end of the interval.
    """

    chip: int
    source: CounterSource
    assurance: Assurance
    pipes: tuple[PipeFigures, ...]
    measured_ms: int
    gap_ms: int
    energy_mj: int | None
    counters: tuple[tuple[str, int], ...]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What the gate holds from one authority (law 4). Digests empty before the first answer.

    ``license`` and ``reserve`` tell where it stands with its licenses of either kind.
    """

    authority: str
    answer_digest: bytes = b""
    batch_number: int = 0
    grant: bytes = b""
    license: LicenseQuote | None = None
    reserve: LicenseQuote | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRequest:
    """Asks that the ceiling lie ``headroom_tflop`` above the lane's allotted total."""

    workload: str
    headroom_tflop: int


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Asks for permission; identified by the digest of the report that carries it.

    ``license``: set where a license is asked for instead of a permit.
    """

    lanes: tuple[LaneRequest, ...]
    license: LicenseWish | None = None


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class TpmState:
    """What the host's TPM said of itself when a report was made.

    Attributes:
        counter: of the NV counter that goes up by one with each report, once this one is kept.
        clock_ms: time during which the TPM was ever powered, as it counts it.
        reset_count, restart_count: below 2**32.
        safe: no greater value of the clock was ever told.
        spent_counter: of the NV counter that goes up with each reservation of a license; 0 before
            the first.
    """

    counter: int
    clock_ms: int
    reset_count: int
    restart_count: int
    safe: bool
    spent_counter: int = 0


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was measured in one interval, chained to the statement before it.

    Attributes:
        host_id: SHA-256 of the host key's SPKI.
        sequence: 1 upwards without holes.
        previous: digest of the report before; the host id for sequence 1.
        run_nonce: 16 random bytes of this run of the gate; permits are bound to it.
        boot_id: 16 bytes of the kernel's boot id.
        wall_unix_ms: the host's wall clock, believed by nobody.
        chip_root: RFC 6962 root over the salted chip rows.
        topology: in the first report of a run, after an admission and when it changed.
        running_ms: gate running time since enrolment, restarts added up.
        request: set when permission is asked for.
        tpm: where the host key is in a TPM.
    """

    host_id: bytes
    sequence: int
    previous: bytes
    run_nonce: bytes
    boot_id: bytes
    interval_start_ms: int
    interval_end_ms: int
    made_ms: int
    wall_unix_ms: int
    lanes: tuple[LaneReport, ...]
    chip_root: bytes
    chip_count: int
    quotes: tuple[Quote, ...]
    assurance: Assurance
    software: Software
    topology: Topology | None
    findings: tuple[Finding, ...]
    running_ms: int
    request: Request | None
    tpm: TpmState | None = None
