"""A request file, from disk to the running governor: its reports, and who asks in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from flopgate_governor.client import deliver
from flopgate_governor.files import Layout
from flopgate_governor.licensing import GIVEN_MAX
from flopgate_governor.output import Bar
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.errors import ConfigError
from flopgate_proto.files import AskingHost, asking_hosts, read_requests
from flopgate_proto.limits import MESSAGE_BYTES_MAX, REPORTS_PER_MESSAGE_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

_CHUNK_BYTES: Final = 65_536
_MESSAGE_BYTES: Final = MESSAGE_BYTES_MAX // 2


def read_asking(path: Path) -> list[AskingHost]:
    """Who asks for what in a request file, read whole.

    Raises:
        ConfigError: it cannot be read.
        PeerError: it is no request file, or not whole.
    """
    return asking_hosts(_chunks(path))


def deliver_file(layout: Layout, path: Path, asking: Sequence[AskingHost]) -> list[AskingHost]:
    """Have all reports of the file accounted; those hosts whose requests are on record now.

    Raises:
        ConfigError: the file cannot be read, or the governor does not run.
        UnreachableError: it does not answer, or refused.
    """
    total = sum(one.host.reports for one in asking)
    reply = deliver(layout, _messages(path, Bar("reports", total)))
    for notice in reply.notices:
        sys.stderr.write(
            f"flopgate-governor: {notice.reason}: host {notice.host_id.hex()[:16]}: "
            f"{notice.detail}\n"
        )
    reached = {one.host_id: one.sequence for one in reply.hosts}
    return [one for one in asking if reached.get(one.host.host_id, 0) >= one.sequence]


def in_parts(requests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Requests, as many as one call gives licenses to."""
    for start in range(0, len(requests), GIVEN_MAX):
        yield requests[start : start + GIVEN_MAX]


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}",
            code="license-file.unreadable",
            remedy="Name the file that `flopgate-agent license request` or `gather` wrote.",
        ) from error


def _messages(path: Path, bar: Bar) -> Iterator[pb.DeliverRequest]:
    message, size, done = pb.DeliverRequest(), 0, 0
    for _, envelope in read_requests(_chunks(path)):
        report = pb.SignedReport(envelope=envelope_to_wire(envelope))
        added = report.ByteSize()
        full = len(message.reports) == REPORTS_PER_MESSAGE_MAX or size + added > _MESSAGE_BYTES
        if full and message.reports:
            yield message
            done += len(message.reports)
            bar.at(done)
            message, size = pb.DeliverRequest(), 0
        message.reports.append(report)
        size += added
    yield message
    bar.at(done + len(message.reports))
