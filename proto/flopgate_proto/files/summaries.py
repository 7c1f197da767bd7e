"""What a request file asks for, in so few bytes that it goes on paper and into QR codes.

Nobody signed it. It names each request by the digest of the report, so the file that arrives later
proves it or does not: what a digest names cannot be another figure there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from flopgate_proto.amounts import counted
from flopgate_proto.codec import checks, licenses, parse_message
from flopgate_proto.errors import MalformedError
from flopgate_proto.files.carried import check_kind
from flopgate_proto.files.checksum import spoken
from flopgate_proto.files.content import Content, Kind
from flopgate_proto.files.reports import AskingHost, AskingLane, ReportingHost, told
from flopgate_proto.limits import CHIPS_MAX, LANES_MAX, LICENSED_HOSTS_MAX, NONCE_BYTES
from flopgate_proto.v1 import flopgate_pb2 as pb

PART_HOSTS: Final = 64
"""Hosts of one part: some 150 symbols each in QR codes, four pages of text for paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What some hosts, or all, of one request file ask for.

    Attributes:
        hosts: in the whole file, 1 to `LICENSED_HOSTS_MAX`.
        requests: SHA-256 over the digests of all its requests, in ascending order.
        asking: by position in the file, from 0.
    """

    hosts: int
    requests: bytes
    asking: dict[int, AskingHost]

    @property
    def checksum(self) -> str:
        """Of the whole file's requests, for two people to compare by voice."""
        return spoken(self.requests)

    @property
    def whole(self) -> bool:
        """Whether every host of the file is told of."""
        return len(self.asking) == self.hosts


def summary_of(asking: Sequence[AskingHost]) -> Summary:
    """Of a whole request file."""
    return Summary(
        hosts=len(asking),
        requests=_digest_of(asking),
        asking=dict(enumerate(asking)),
    )


def summary_contents(summary: Summary) -> Iterator[Content]:
    """What is carried of it, in parts that may each be read without the others."""
    positions = sorted(summary.asking)
    while positions:
        first = positions[0]
        # A part says only where it begins: it ends where a host is missing.
        run = [at for number, at in enumerate(positions[:PART_HOSTS], first) if at == number]
        positions = positions[len(run) :]
        message = pb.RequestSummary(
            hosts=summary.hosts,
            requests=summary.requests,
            first=first,
            asking=[_wire_of(summary.asking[at]) for at in run],
        )
        yield Content(Kind.SUMMARY, message.SerializeToString(deterministic=True))


def summary_in(content: Content) -> Summary:
    """The part that was carried.

    Raises:
        MalformedError, OversizedError: it is none, or says what cannot be.
    """
    check_kind(content, Kind.SUMMARY)
    message = parse_message(pb.RequestSummary(), content.data)
    hosts = checks.count(message.hosts, "hosts", LICENSED_HOSTS_MAX)
    asking = checks.few(message.asking, PART_HOSTS, "hosts of a summary")
    if not asking or message.first + len(asking) > hosts:
        raise MalformedError(
            f"a summary of {counted(hosts, 'host')} tells of {len(asking)} from {message.first} on",
            code="summary.hosts",
            remedy="Ask for it anew.",
        )
    return _checked(
        Summary(
            hosts=hosts,
            requests=checks.digest(message.requests, "requests"),
            asking={message.first + at: _asking_of(one) for at, one in enumerate(asking)},
        )
    )


def joined(parts: Iterable[Summary]) -> list[Summary]:
    """Of each request one, out of its parts, some of them maybe twice.

    Raises:
        MalformedError: parts of one contradict each other.
    """
    found: dict[tuple[int, bytes], Summary] = {}
    for part in parts:
        key = part.hosts, part.requests
        whole = found.setdefault(key, part)
        both = {**whole.asking, **part.asking}
        if any(both[at] != one for at, one in whole.asking.items()):
            raise _contradicts(whole)
        found[key] = _checked(Summary(hosts=part.hosts, requests=part.requests, asking=both))
    return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a request file has otherwise than a summary says.

    Attributes:
        kind: ``missing``, ``other-report``, ``other-figures`` or ``added``, of one host; or
            ``other-checksum``, of the whole.
        host_id: of the host; empty for the whole.
    """

    kind: str
    words: str
    host_id: bytes = b""


def differences(summary: Summary, asking: Sequence[AskingHost]) -> Iterator[Difference]:
    """What a request file has otherwise than the summary says."""
    in_file = {one.host.host_id: one for one in asking}
    told_of = {one.host.host_id: one for one in summary.asking.values()}
    for host_id, one in told_of.items():
        found = in_file.get(host_id)
        if found is None:
            yield _of(one.host, "missing", "is not in the file")
        elif found.request != one.request:
            yield _of(
                one.host,
                "other-report",
                f"asks by report {found.sequence} in the file, by another, {one.sequence}, in the "
                "summary",
            )
        elif found != one:
            words = "has other figures in the summary than in the report that it names"
            yield _of(one.host, "other-figures", words)
    if summary.whole:
        for host_id, one in in_file.items():
            if host_id not in told_of:
                yield _of(one.host, "added", "is in the file, and not in the summary")
    elif summary.requests != _digest_of(asking):
        other = summary_of(asking)
        yield Difference(
            kind="other-checksum",
            words=f"the file has {counted(other.hosts, 'host')} and the checksum {other.checksum}, "
            f"the summary is of {summary.hosts} and {summary.checksum}",
        )


def _of(host: ReportingHost, kind: str, words: str) -> Difference:
    return Difference(kind=kind, words=f"{told(host)} {words}", host_id=host.host_id)


def _digest_of(asking: Iterable[AskingHost]) -> bytes:
    """In ascending order: how the file was gathered does not count."""
    return hashlib.sha256(b"".join(sorted(one.request for one in asking))).digest()


def _checked(summary: Summary) -> Summary:
    """A host stands there once, and a whole one has the checksum that it says.

    Raises:
        MalformedError: not so.
    """
    if len({one.host.host_id for one in summary.asking.values()}) != len(summary.asking):
        raise _contradicts(summary)
    if summary.whole and _digest_of(summary.asking.values()) != summary.requests:
        raise MalformedError(
            "the hosts of the summary are not those that its checksum is of",
            code="summary.changed",
            remedy="Ask for it anew, and compare its checksum with the sender's.",
        )
    return summary


def _contradicts(summary: Summary) -> MalformedError:
    return MalformedError(
        f"the summary {summary.checksum} contradicts itself about a host",
        code="summary.contradicts",
        remedy="Ask for it anew, and compare its checksum with the sender's.",
    )


def _wire_of(one: AskingHost) -> pb.AskingSummary:
    return pb.AskingSummary(
        host_id=one.host.host_id,
        name=one.host.name,
        reports=one.host.reports,
        request=one.request,
        sequence=one.sequence,
        wish=pb.LicenseWish(span_ms=one.wish.span_ms, reserve=one.wish.reserve),
        run_nonce=one.run_nonce,
        running_ms=one.running_ms,
        chip_count=one.chip_count,
        lanes=[
            pb.LaneSummary(
                workload=lane.workload,
                chips=lane.chips,
                allotted_tflop=lane.allotted_tflop,
                unaccounted_tflop=lane.unaccounted_tflop,
                headroom_tflop=lane.headroom_tflop,
            )
            for lane in one.lanes
        ],
        tpm_counter=one.tpm_counter,
        spent_counter=one.spent_counter,
    )


def _asking_of(message: pb.AskingSummary) -> AskingHost:
    host = ReportingHost(
        host_id=checks.digest(message.host_id, "host id"),
        name=checks.text(message.name, "name of a host"),
        reports=checks.count(message.reports, "reports"),
    )
    return AskingHost(
        host=host,
        request=checks.digest(message.request, "request"),
        sequence=checks.count(message.sequence, "sequence"),
        wish=licenses.wish_of(message.wish),
        run_nonce=checks.exact(message.run_nonce, NONCE_BYTES, "run nonce"),
        running_ms=checks.count(message.running_ms, "running_ms"),
        chip_count=checks.count(message.chip_count, "chip count", CHIPS_MAX),
        lanes=tuple(
            AskingLane(
                workload=checks.text(lane.workload, "workload", required=True),
                chips=checks.count(lane.chips, "chips", CHIPS_MAX),
                allotted_tflop=checks.count(lane.allotted_tflop, "allotted"),
                unaccounted_tflop=checks.count(lane.unaccounted_tflop, "unaccounted"),
                headroom_tflop=checks.count(lane.headroom_tflop, "headroom"),
            )
            for lane in checks.few(message.lanes, LANES_MAX, "lanes")
        ),
        tpm_counter=checks.count(message.tpm_counter, "counter"),
        spent_counter=checks.count(message.spent_counter, "spent counter"),
    )
