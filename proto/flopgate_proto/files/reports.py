"""Files of reports, of one host or of a whole site.

In a request file the last report of each host asks for a license; a chain file brings an authority
what it lacks of a host's chain, from another one that has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from flopgate_proto.codec import (
    PayloadType,
    checks,
    decode_report,
    envelope_to_object,
    envelope_to_wire,
)
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import FlopgateError, MalformedError, OversizedError
from flopgate_proto.files.json_envelopes import envelope_of
from flopgate_proto.files.lines import Line, malformed, read_lines, write_lines
from flopgate_proto.limits import (
    COUNT_MAX,
    DIGEST_BYTES,
    LICENSED_HOSTS_MAX,
    QUOTED_ROOT_BYTES_MAX,
    QUOTES_MAX,
)
from flopgate_proto.values.licenses import LicenseWish
from flopgate_proto.values.reports import Report

REQUEST_KIND: Final = "license-request"
CHAIN_KIND: Final = "chain"
_ROOTS: Final = "quoted_roots"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingHost:
    """One host of the file.

    Attributes:
        host_id: 32 bytes; its reports are signed by this key, which the file does not prove.
        name: what people call it, unsigned, may be empty.
        reports: how many follow, at least 1, in the order of the chain.
    """

    host_id: bytes
    name: str
    reports: int


@dataclass(frozen=True, slots=True)
class CarriedReport:
    """A report with the signed batch roots of the answers that it quotes, as far as known."""

    envelope: Envelope
    quoted_roots: tuple[Envelope, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingLane:
    """One lane by that report; ``headroom_tflop``: what is asked for above what was allotted."""

    workload: str
    chips: int
    allotted_tflop: int
    unaccounted_tflop: int
    headroom_tflop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingHost:
    """What a host's last report asks for, and where the host stands by it.

    Attributes:
        request: digest of that report, the head of the host's ledger.
        sequence: of it.
        run_nonce: 16 bytes, fresh with each run of the gate.
        running_ms: gate running time since enrolment.
        tpm_counter, spent_counter: of its TPM, of reports and of reservations; 0 without one.
    """

    host: ReportingHost
    request: bytes
    sequence: int
    wish: LicenseWish
    run_nonce: bytes
    running_ms: int
    chip_count: int
    lanes: tuple[AskingLane, ...]
    tpm_counter: int
    spent_counter: int


def write_reports(
    kind: str, hosts: Iterable[tuple[ReportingHost, Iterable[CarriedReport]]]
) -> Iterator[bytes]:
    """Lines of a file of this kind. As many reports follow each host as it says."""
    return write_lines(kind, _bodies(hosts))


def read_reports(
    kind: str, chunks: Iterable[bytes]
) -> Iterator[tuple[ReportingHost, CarriedReport]]:
    """Every report with its host, one at a time; at the end an error if the file is not whole.

    Args:
        kind: what it must be, a request file or a chain file.
        chunks: the file, in order.

    Raises:
        MalformedError, OversizedError, UnknownVersionError: in one sentence.
    """
    host, left = ReportingHost(host_id=b"", name="", reports=0), 0
    seen: set[bytes] = set()
    roots: tuple[Envelope, ...] = ()
    for line in read_lines(kind, chunks):
        if left and _ROOTS in line:
            roots = _roots_of(line, host)
            continue
        if left:
            envelope = envelope_of(line, f"report {host.reports - left + 1} of {told(host)}")
            _check_type(envelope, host)
            left -= 1
            yield host, CarriedReport(envelope, roots)
            continue
        host, roots = _host_of(line), ()
        if host.host_id in seen:
            raise MalformedError(
                f"{told(host)} is in the file twice",
                code="license-file.host-twice",
                remedy="Merge request files with `flopgate-agent license gather`.",
            )
        seen.add(host.host_id)
        if len(seen) > LICENSED_HOSTS_MAX:
            raise OversizedError(
                f"more than {LICENSED_HOSTS_MAX} hosts in one file",
                code="license-file.hosts",
                remedy="Gather the site into several files.",
            )
        left = host.reports
    if left:
        raise malformed(f"{left} reports of {told(host)} are missing")
    if not seen:
        raise malformed("the file holds no host")


def asking_hosts(chunks: Iterable[bytes]) -> list[AskingHost]:
    """Reads the whole file and tells what each host asks for; nothing is kept of the rest.

    Raises:
        MalformedError, OversizedError, UnknownVersionError: it is not whole, or the last report
            of a host is another's or asks for no license.
    """
    asking, left = [], 0
    for host, report in read_reports(REQUEST_KIND, chunks):
        left = (left or host.reports) - 1
        if not left:
            asking.append(_asking(host, report.envelope))
    return asking


def told(host: ReportingHost) -> str:
    """A host for people."""
    number = host.host_id.hex()[:16]
    return f"host {host.name} ({number})" if host.name else f"host {number}"


def _bodies(hosts: Iterable[tuple[ReportingHost, Iterable[CarriedReport]]]) -> Iterator[Line]:
    for host, reports in hosts:
        yield {"host": host.host_id.hex(), "name": host.name, "reports": host.reports}
        roots: tuple[Envelope, ...] = ()
        for report in reports:
            # Most quote what the one before quoted.
            if report.quoted_roots != roots:
                roots = report.quoted_roots
                yield {_ROOTS: [envelope_to_object(root) for root in roots]}
            yield envelope_to_object(report.envelope)


def _roots_of(line: Line, host: ReportingHost) -> tuple[Envelope, ...]:
    roots = line[_ROOTS]
    if not isinstance(roots, list) or len(roots) > QUOTES_MAX:
        raise malformed(f"what reports of {told(host)} quote is no list, or too long a one")
    return tuple(_root_of(root, host) for root in roots)


def _root_of(root: object, host: ReportingHost) -> Envelope:
    envelope = envelope_of(root, f"a root that {told(host)} quotes")
    # It goes along with each report that follows: a short file could unfold to a long one.
    if envelope_to_wire(envelope).ByteSize() > QUOTED_ROOT_BYTES_MAX:
        raise OversizedError(
            f"a root that {told(host)} quotes has more than {QUOTED_ROOT_BYTES_MAX} bytes",
            code="license-file.oversized",
            remedy="Fetch the file again, whole.",
        )
    return envelope


def _host_of(line: Line) -> ReportingHost:
    number, name, reports = (line.get(key) for key in ("host", "name", "reports"))
    if not isinstance(name, str) or not isinstance(reports, int) or not 1 <= reports <= COUNT_MAX:
        raise malformed("a host without its name, or without the number of its reports")
    try:
        host_id = bytes.fromhex(number) if isinstance(number, str) else b""
        # JSON can spell a lone surrogate, which no text has.
        name = checks.text(name.encode().decode(), "name of a host")
    except UnicodeEncodeError as error:
        raise malformed("the name of a host is no text") from error
    except ValueError as error:
        raise malformed("a host's number is not hexadecimal") from error
    if len(host_id) != DIGEST_BYTES:
        raise malformed("a host without its number")
    return ReportingHost(host_id=host_id, name=name, reports=reports)


def _check_type(envelope: Envelope, host: ReportingHost) -> None:
    if envelope.payload_type != PayloadType.REPORT:
        raise malformed(f"a statement of {told(host)} is not a report")


def _asking(host: ReportingHost, envelope: Envelope) -> AskingHost:
    try:
        report = decode_report(envelope.payload)
    except FlopgateError as error:
        raise malformed(
            f"the last report of {told(host)} cannot be read: {error.detail}"
        ) from error
    wish = None if report.request is None else report.request.license
    if report.host_id != host.host_id or wish is None:
        raise MalformedError(
            f"the last report of {told(host)} is "
            + ("another host's" if wish else "one that asks for no license"),
            code="license-file.request",
            remedy="Run `flopgate-agent license request` on that host.",
        )
    return AskingHost(
        host=host,
        request=envelope.digest,
        sequence=report.sequence,
        wish=wish,
        run_nonce=report.run_nonce,
        running_ms=report.running_ms,
        chip_count=report.chip_count,
        lanes=_lanes(report),
        tpm_counter=0 if report.tpm is None else report.tpm.counter,
        spent_counter=0 if report.tpm is None else report.tpm.spent_counter,
    )


def _lanes(report: Report) -> tuple[AskingLane, ...]:
    asked = () if report.request is None else report.request.lanes
    headroom = {lane.workload: lane.headroom_tflop for lane in asked}
    return tuple(
        AskingLane(
            workload=lane.workload,
            chips=len(lane.chips),
            allotted_tflop=lane.allotted_tflop,
            unaccounted_tflop=lane.unaccounted_tflop,
            headroom_tflop=headroom.get(lane.workload, 0),
        )
        for lane in report.lanes
    )
