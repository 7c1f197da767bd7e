"""Files of reports: what travels beside each is written once, and read back with each."""

from __future__ import annotations

import json

import pytest

from flopgate_proto.batches import seal_batch
from flopgate_proto.codec import envelope_to_object
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import MalformedError
from flopgate_proto.files import (
    CHAIN_KIND,
    CarriedReport,
    ReportingHost,
    read_reports,
    write_reports,
)
from flopgate_proto.files.lines import write_lines
from flopgate_proto.keys import key_digest
from tests.support import license_files
from tests.support.fixed import HOST_ID, PERMIT_KEY
from tests.support.license_files import OTHER_KEY

ROOTS = tuple(
    seal_batch([b"x"], origin=one, batch_number=9, previous=bytes(32), signer=PERMIT_KEY)[0]
    for one in ("home.example", "international.example")
)
LARGE = envelope_to_object(Envelope("x/y", bytes(1024), ROOTS[0].signatures))


def carried(*quoted: int) -> list[CarriedReport]:
    """Reports that quote so many answers each."""
    chain = license_files.reports(count=len(quoted))
    return [CarriedReport(report, ROOTS[:many]) for report, many in zip(chain, quoted, strict=True)]


def host(reports: list[CarriedReport], host_id: bytes = HOST_ID) -> ReportingHost:
    return ReportingHost(host_id=host_id, name="node-1", reports=len(reports))


@pytest.mark.parametrize(
    ("quoted", "lines"),
    [((0, 0), 0), ((1, 1, 1), 1), ((1, 2, 2), 2), ((0, 1, 0, 1), 3), ((2, 1), 2)],
)
def test_what_reports_quote_is_written_once_and_read_back_with_each(
    quoted: tuple[int, ...], lines: int
) -> None:
    reports = carried(*quoted)
    data = b"".join(write_reports(CHAIN_KIND, [(host(reports), reports)]))
    assert [report for _, report in read_reports(CHAIN_KIND, [data])] == reports
    assert data.count(b"quoted_roots") == lines


def test_no_host_inherits_what_the_one_before_quoted() -> None:
    reports, bare = carried(1, 1), carried(0)
    hosts = [(host(reports), reports), (host(bare, key_digest(OTHER_KEY.spki)), bare)]
    read = list(read_reports(CHAIN_KIND, write_reports(CHAIN_KIND, hosts)))
    assert [report for _, report in read] == [*reports, *bare]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({}, "license-file.malformed"),
        ("x", "license-file.malformed"),
        ([{}] * 9, "license-file.malformed"),
        ([{"payload": ""}], "license-file.statement"),
        ([LARGE], "license-file.oversized"),
    ],
)
def test_roots_that_are_none_say_so(bad: object, code: str) -> None:
    reports = carried(0)
    data = b"".join(write_reports(CHAIN_KIND, [(host(reports), reports)]))
    bodies = [json.loads(line) for line in data.splitlines()[1:-1]]
    bodies.insert(1, {"quoted_roots": bad})
    with pytest.raises(MalformedError, match=rf"{code}: .*node-1"):
        list(read_reports(CHAIN_KIND, write_lines(CHAIN_KIND, bodies)))
