"""Files of reports, from disk to the running governor; and from its store to another authority."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import bindparam, func, select

from flopgate_governor.desk.client import deliver
from flopgate_governor.desk.output import Bar
from flopgate_governor.files import Layout
from flopgate_governor.licenses.issuing import GIVEN_MAX
from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.prepared import Query
from flopgate_proto.codec import envelope_from_wire, envelope_to_wire, parse_message
from flopgate_proto.errors import ConfigError
from flopgate_proto.files import (
    CHAIN_KIND,
    REQUEST_KIND,
    AskingHost,
    CarriedReport,
    ReportingHost,
    asking_hosts,
    read_reports,
    write_reports,
)
from flopgate_proto.limits import MESSAGE_BYTES_MAX, REPORTS_PER_MESSAGE_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

_CHUNK_BYTES: Final = 65_536
_MESSAGE_BYTES: Final = MESSAGE_BYTES_MAX // 2

_R: Final = schema.report.c
_THERE: Final = (_R.host_id == bindparam("host"), _R.sequence > bindparam("after"))
_COUNT: Final = Query(select(func.count()).where(*_THERE))
_AFTER: Final = Query(
    select(_R.sequence, _R.envelope)
    .where(*_THERE)
    .order_by(_R.sequence)
    .limit(REPORTS_PER_MESSAGE_MAX)
)


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
    reply = _delivered(layout, path, sum(one.host.reports for one in asking), REQUEST_KIND)
    reached = {one.host_id: one.sequence for one in reply.hosts}
    return [one for one in asking if reached.get(one.host.host_id, 0) >= one.sequence]


def _delivered(layout: Layout, path: Path, total: int, kind: str) -> pb.DeliverReply:
    reply = deliver(layout, _messages(path, Bar("reports", total), kind))
    for notice in reply.notices:
        sys.stderr.write(
            f"flopgate-governor: {notice.reason}: host {notice.host_id.hex()[:16]}: "
            f"{notice.detail}\n"
        )
    return reply


def take_chains(layout: Layout, path: Path) -> list[pb.Delivered]:
    """Have all reports of a chain file accounted; where the chains stand then.

    Raises:
        ConfigError: the file cannot be read, or the governor does not run.
        PeerError: it is no chain file, or not whole.
        UnreachableError: the governor does not answer, or refused.
    """
    total = sum(1 for _ in read_reports(CHAIN_KIND, _chunks(path)))
    return list(_delivered(layout, path, total, CHAIN_KIND).hosts)


def chain_file(state: State, host_id: bytes, after: int) -> Iterator[bytes]:
    """Lines of a chain file: what is on record of a host after a report, as it signed it.

    Raises:
        ConfigError: nothing is.
    """
    with state.store.transaction() as connection:
        ((reports,),) = _COUNT.run(connection, host=host_id, after=after)
    if not reports:
        raise ConfigError(
            f"no report of host {host_id.hex()} after {after} is on record",
            code="chain.none",
            remedy="`flopgate-governor host show HOST` tells where its chain stands here.",
        )
    host = ReportingHost(host_id=host_id, name="", reports=reports)
    return write_reports(CHAIN_KIND, [(host, _after(state, host_id, after, reports))])


def _after(state: State, host_id: bytes, after: int, reports: int) -> Iterator[CarriedReport]:
    while reports > 0:
        with state.store.transaction() as connection:
            rows = _AFTER.run(connection, host=host_id, after=after)
        for sequence, data in rows[:reports]:
            yield CarriedReport(envelope_from_wire(parse_message(pb.Envelope(), data)))
            after = sequence
        if not rows:
            return  # An adoption dropped them meanwhile.
        reports -= len(rows)


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
            remedy="Name the file that `flopgate-agent license request` or `gather`, or "
            "`flopgate-governor heads chain`, wrote.",
        ) from error


def _messages(path: Path, bar: Bar, kind: str) -> Iterator[pb.DeliverRequest]:
    message, size, done = pb.DeliverRequest(), 0, 0
    for _, carried in read_reports(kind, _chunks(path)):
        roots = [envelope_to_wire(root) for root in carried.quoted_roots]
        report = pb.SignedReport(envelope=envelope_to_wire(carried.envelope), quoted_roots=roots)
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
