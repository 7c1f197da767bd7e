"""Enrolment and report."""

from __future__ import annotations

from flopgate_proto.codec import checks, licenses
from flopgate_proto.codec.common import (
    figures_of,
    figures_to,
    fill_figures,
    finding_of,
    finding_to,
    software_of,
    software_to,
)
from flopgate_proto.codec.topology import topology_of, topology_to
from flopgate_proto.errors import MalformedError
from flopgate_proto.limits import (
    BOOT_ID_BYTES,
    CHIPS_MAX,
    FINDINGS_MAX,
    LANES_MAX,
    NONCE_BYTES,
    QUOTES_MAX,
    SPKI_BYTES_MAX,
)
from flopgate_proto.quick import maker
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import Assurance, LaneState
from flopgate_proto.values.reports import (
    ChipIdentity,
    Enrolment,
    LaneReport,
    LaneRequest,
    LaneTotals,
    Quote,
    Report,
    Request,
    TpmState,
)

make_lane_report = maker(LaneReport)
make_quote = maker(Quote)
make_report = maker(Report)
make_lane_request = maker(LaneRequest)
make_request = maker(Request)


def encode_enrolment(value: Enrolment) -> bytes:
    """Payload bytes of an enrolment."""
    return pb.Enrolment(
        format=checks.FORMAT,
        authority=value.authority,
        trust_root_digest=value.trust_root_digest,
        host_spki=value.host_spki,
        chips=[
            pb.ChipIdentity(
                vendor=chip.vendor,
                uuid=chip.uuid,
                serial=chip.serial,
                pdi=chip.pdi or 0,
                name=chip.name,
                pci_device_id=chip.pci_device_id,
            )
            for chip in value.chips
        ],
        cluster=value.cluster,
        custodian=value.custodian,
        site=value.site,
        jurisdiction=value.jurisdiction,
        driver_version=value.driver_version,
        software=software_to(value.software),
        assurance=checks.wire(value.assurance),
        courier_spki=value.courier_spki,
        token_id=value.token_id,
        token_proof=value.token_proof,
        boot_id=value.boot_id,
        made_ms=value.made_ms,
        sequence=value.sequence,
        head=value.head,
        lanes=[
            pb.LaneTotals(
                workload=lane.workload,
                total=figures_to(lane.total),
                allotted_tflop=lane.allotted_tflop,
                unaccounted_tflop=lane.unaccounted_tflop,
            )
            for lane in value.lanes
        ],
    ).SerializeToString(deterministic=True)


def decode_enrolment(data: bytes) -> Enrolment:
    """Enrolment from verified payload bytes."""
    message = checks.parse_exact(pb.Enrolment(), data)
    checks.check_format(message)
    if bool(message.token_id) != bool(message.token_proof):
        raise MalformedError("token id without proof, or proof without id", code="enrolment.token")
    chips = tuple(_chip_of(chip) for chip in checks.few(message.chips, CHIPS_MAX, "chips"))
    checks.unique([chip.uuid for chip in chips], "chip UUIDs")
    lanes = tuple(map(_totals_of, checks.few(message.lanes, LANES_MAX, "lanes")))
    checks.unique([lane.workload for lane in lanes], "workloads of lanes")
    return Enrolment(
        authority=checks.text(message.authority, "authority", required=True),
        trust_root_digest=checks.digest(message.trust_root_digest, "trust root digest"),
        host_spki=checks.at_most(message.host_spki, SPKI_BYTES_MAX, "host key"),
        chips=chips,
        cluster=checks.text(message.cluster, "cluster", required=True),
        custodian=checks.text(message.custodian, "custodian", required=True),
        site=checks.text(message.site, "site"),
        jurisdiction=checks.text(message.jurisdiction, "jurisdiction"),
        driver_version=checks.text(message.driver_version, "driver version"),
        software=software_of(message.software),
        assurance=checks.member(Assurance, message.assurance, "assurance"),
        courier_spki=checks.at_most(message.courier_spki, SPKI_BYTES_MAX, "courier key"),
        token_id=checks.exact_or_empty(message.token_id, NONCE_BYTES, "token id"),
        token_proof=checks.digest_or_empty(message.token_proof, "token proof"),
        boot_id=checks.exact(message.boot_id, BOOT_ID_BYTES, "boot id"),
        made_ms=checks.count(message.made_ms, "made_ms"),
        sequence=checks.count(message.sequence, "sequence"),
        head=checks.digest(message.head, "head"),
        lanes=lanes,
    )


def _totals_of(message: pb.LaneTotals) -> LaneTotals:
    return LaneTotals(
        workload=checks.text(message.workload, "workload", required=True),
        total=figures_of(message.total, "total"),
        allotted_tflop=checks.count(message.allotted_tflop, "allotted_tflop"),
        unaccounted_tflop=checks.count(message.unaccounted_tflop, "unaccounted_tflop"),
    )


def _chip_of(message: pb.ChipIdentity) -> ChipIdentity:
    return ChipIdentity(
        vendor=checks.text(message.vendor, "chip vendor", required=True),
        uuid=checks.text(message.uuid, "chip UUID", required=True),
        serial=checks.text(message.serial, "chip serial"),
        pdi=message.pdi or None,
        name=checks.text(message.name, "chip name", required=True),
        pci_device_id=message.pci_device_id,
    )


def encode_report(value: Report) -> bytes:
    """Payload bytes of a report."""
    # Filling a message field by field costs a third of its constructor.
    message = pb.Report()
    message.format = checks.FORMAT
    message.host_id = value.host_id
    message.sequence = value.sequence
    message.previous = value.previous
    message.run_nonce = value.run_nonce
    message.boot_id = value.boot_id
    message.interval_start_ms = value.interval_start_ms
    message.interval_end_ms = value.interval_end_ms
    message.made_ms = value.made_ms
    message.wall_unix_ms = value.wall_unix_ms
    for lane in value.lanes:
        _fill_lane(message.lanes.add(), lane)
    message.chip_root = value.chip_root
    message.chip_count = value.chip_count
    for quote in value.quotes:
        quoted = message.quotes.add()
        quoted.authority = quote.authority
        quoted.answer_digest = quote.answer_digest
        quoted.batch_number = quote.batch_number
        quoted.grant = quote.grant
        if quote.license is not None:
            quoted.license.CopyFrom(licenses.quote_to(quote.license))
        if quote.reserve is not None:
            quoted.reserve.CopyFrom(licenses.quote_to(quote.reserve))
    message.assurance = checks.wire(value.assurance)
    message.software.CopyFrom(software_to(value.software))
    if value.topology is not None:
        message.topology.CopyFrom(topology_to(value.topology))
    message.findings.extend([finding_to(finding) for finding in value.findings])
    message.running_ms = value.running_ms
    if value.request is not None:
        # A request of nothing is one too.
        message.request.SetInParent()
        for wanted in value.request.lanes:
            asked = message.request.lanes.add()
            asked.workload = wanted.workload
            asked.headroom_tflop = wanted.headroom_tflop
        if value.request.license is not None:
            message.request.license.span_ms = value.request.license.span_ms
            message.request.license.reserve = value.request.license.reserve
    if value.tpm is not None:
        message.tpm.SetInParent()
        message.tpm.counter = value.tpm.counter
        message.tpm.clock_ms = value.tpm.clock_ms
        message.tpm.reset_count = value.tpm.reset_count
        message.tpm.restart_count = value.tpm.restart_count
        message.tpm.safe = value.tpm.safe
        message.tpm.spent_counter = value.tpm.spent_counter
    return message.SerializeToString(deterministic=True)


def decode_report(data: bytes) -> Report:
    """Report from verified payload bytes."""
    message = checks.parse_exact(pb.Report(), data)
    checks.check_format(message)
    start_ms = message.interval_start_ms
    end_ms = checks.count(message.interval_end_ms, "interval_end_ms")
    made_ms = checks.count(message.made_ms, "made_ms")
    if not start_ms <= end_ms <= made_ms:
        raise MalformedError("start <= end <= made does not hold", code="report.interval")
    if message.sequence == 0:
        raise MalformedError("sequence 0; chains start at 1", code="report.sequence")
    lanes = tuple(map(_lane_of, checks.few(message.lanes, LANES_MAX, "lanes")))
    workloads = [lane.workload for lane in lanes]
    checks.unique(workloads, "workloads of lanes")
    checks.unique([chip for lane in lanes for chip in lane.chips], "chips of lanes")
    quotes = tuple(map(_quote_of, checks.few(message.quotes, QUOTES_MAX, "quotes")))
    checks.unique([quote.authority for quote in quotes], "quoted authorities")
    findings = checks.few(message.findings, FINDINGS_MAX, "findings")
    return make_report(
        host_id=checks.digest(message.host_id, "host id"),
        sequence=checks.count(message.sequence, "sequence"),
        previous=checks.digest(message.previous, "previous"),
        run_nonce=checks.exact(message.run_nonce, NONCE_BYTES, "run nonce"),
        boot_id=checks.exact(message.boot_id, BOOT_ID_BYTES, "boot id"),
        interval_start_ms=start_ms,
        interval_end_ms=end_ms,
        made_ms=made_ms,
        wall_unix_ms=checks.count(message.wall_unix_ms, "wall_unix_ms"),
        lanes=lanes,
        chip_root=checks.digest(message.chip_root, "chip root"),
        chip_count=checks.count(message.chip_count, "chip count", CHIPS_MAX),
        quotes=quotes,
        assurance=checks.member(Assurance, message.assurance, "assurance"),
        software=software_of(message.software),
        topology=topology_of(message.topology) if message.HasField("topology") else None,
        findings=tuple(map(finding_of, findings)),
        running_ms=checks.count(message.running_ms, "running_ms"),
        request=_request_of(message.request, workloads) if message.HasField("request") else None,
        tpm=_tpm_of(message.tpm) if message.HasField("tpm") else None,
    )


def _tpm_of(message: pb.TpmState) -> TpmState:
    return TpmState(
        counter=checks.count(message.counter, "counter"),
        clock_ms=checks.count(message.clock_ms, "clock_ms"),
        reset_count=message.reset_count,
        restart_count=message.restart_count,
        safe=message.safe,
        spent_counter=checks.count(message.spent_counter, "spent counter"),
    )


def decode_retirement(data: bytes) -> Report:
    """The last report of a chain; it asks for nothing.

    Raises:
        MalformedError and its children: the bytes are no such report.
    """
    report = decode_report(data)
    if report.request is not None:
        raise MalformedError("the last report of a host asks", code="retirement.request")
    return report


def lane_to(value: LaneReport) -> pb.LaneReport:
    """Protobuf form of a lane; the governor's status shows the same."""
    message = pb.LaneReport()
    _fill_lane(message, value)
    return message


def _fill_lane(message: pb.LaneReport, value: LaneReport) -> None:
    message.workload = value.workload
    message.state = checks.wire(value.state)
    message.chips.extend(value.chips)
    fill_figures(message.measured, value.measured)
    fill_figures(message.gap, value.gap)
    fill_figures(message.total, value.total)
    message.allotted_tflop = value.allotted_tflop
    message.unaccounted_tflop = value.unaccounted_tflop
    message.stop_reason = value.stop_reason


def _lane_of(message: pb.LaneReport) -> LaneReport:
    return make_lane_report(
        workload=checks.text(message.workload, "workload", required=True),
        state=checks.member(LaneState, message.state, "lane state"),
        chips=tuple(checks.few(message.chips, CHIPS_MAX, "chips of a lane")),
        measured=figures_of(message.measured, "measured"),
        gap=figures_of(message.gap, "gap"),
        total=figures_of(message.total, "total"),
        allotted_tflop=checks.count(message.allotted_tflop, "allotted_tflop"),
        unaccounted_tflop=checks.count(message.unaccounted_tflop, "unaccounted_tflop"),
        stop_reason=checks.text(message.stop_reason, "stop reason"),
    )


def _quote_of(message: pb.Quote) -> Quote:
    return make_quote(
        authority=checks.text(message.authority, "quoted authority", required=True),
        answer_digest=checks.digest_or_empty(message.answer_digest, "answer digest"),
        batch_number=checks.count(message.batch_number, "batch number"),
        grant=checks.digest_or_empty(message.grant, "grant"),
        license=licenses.quote_of(message.license, reserve=False)
        if message.HasField("license")
        else None,
        reserve=licenses.quote_of(message.reserve, reserve=True)
        if message.HasField("reserve")
        else None,
    )


def _request_of(message: pb.Request, workloads: list[str]) -> Request:
    lanes = tuple(map(_asked_of, checks.few(message.lanes, LANES_MAX, "lanes asked for")))
    asked = [lane.workload for lane in lanes]
    checks.unique(asked, "workloads asked for")
    if not set(asked) <= set(workloads):
        raise MalformedError("asks for a workload it does not report", code="request.workload")
    wish = licenses.wish_of(message.license) if message.HasField("license") else None
    return make_request(lanes=lanes, license=wish)


def _asked_of(message: pb.LaneRequest) -> LaneRequest:
    return make_lane_request(
        workload=checks.text(message.workload, "workload", required=True),
        headroom_tflop=checks.count(message.headroom_tflop, "headroom_tflop"),
    )
