"""Parsers of what a courier on foot carries, each under one name, for any bytes whatever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from flopgate_proto.batches import seal_batch
from flopgate_proto.files import (
    REQUEST_KIND,
    Forms,
    KeptRoots,
    armored,
    asking_hosts,
    join_qr,
    joined,
    license_content,
    license_in,
    qr_parts,
    read_armor,
    read_licenses,
    read_reports,
    read_roots,
    statement_content,
    statement_in,
    summary_contents,
    summary_in,
    summary_of,
    write_roots,
)
from flopgate_proto.files.content import Content, Kind
from tests.support import further_orders, license_files, orders
from tests.support.fixed import HOST_KEY


def _chunks(data: bytes) -> list[bytes]:
    """As a file comes: in pieces that end anywhere."""
    return [data[at : at + 97] for at in range(0, len(data), 97)]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _from_armor(data: bytes) -> object:
    return [license_in(one) for one in read_armor(_text(data))]


def _from_qr(data: bytes) -> object:
    return [license_in(one) for one in join_qr(_text(data).splitlines())]


def _summaries(contents: list[Content]) -> object:
    return joined(summary_in(one) for one in contents)


def _from_forms(data: bytes) -> object:
    forms = Forms()
    return _summaries(forms.contents() if forms.take(data) else [])


FILE_PARSERS: Final[Mapping[str, Callable[[bytes], object]]] = {
    "request-file": lambda data: list(read_reports(REQUEST_KIND, _chunks(data))),
    "request-file-asking": lambda data: asking_hosts(_chunks(data)),
    "license-file": lambda data: list(read_licenses(_chunks(data))),
    "roots-file": lambda data: list(read_roots(_chunks(data))),
    "armor": _from_armor,
    "armored-statement": lambda data: [statement_in(one) for one in read_armor(_text(data))],
    "qr": _from_qr,
    "carried-license": lambda data: license_in(Content(Kind.LICENSE, data)),
    "carried-statement": lambda data: statement_in(Content(Kind.STATEMENT, data)),
    "summary": _from_forms,
    "summary-qr": lambda data: _summaries(join_qr(_text(data).splitlines())),
    "carried-summary": lambda data: _summaries([Content(Kind.SUMMARY, data)]),
}

_LICENSE: Final = license_content(license_files.license_for()[0])
_OPENING: Final = statement_content(orders.sealed_order(further_orders.approval()))
(_SUMMARY,) = summary_contents(
    summary_of(asking_hosts([license_files.request_file(HOST_KEY, license_files.OTHER_KEY)]))
)
_KEPT: Final = KeptRoots(
    held_by="host 1",
    orders=(orders.sealed_order(further_orders.approval()),),
    roots=tuple(
        seal_batch([b"x"], origin="a", batch_number=n, previous=bytes(32), signer=HOST_KEY)[0]
        for n in (1, 2)
    ),
)

FILES_ACCEPTED: Final[Mapping[str, bytes]] = {
    "request-file": license_files.request_file(),
    "request-file-asking": license_files.request_file(),
    "license-file": license_files.license_file(),
    "roots-file": b"".join(write_roots([_KEPT, _KEPT])),
    "armor": armored(_LICENSE).encode(),
    "armored-statement": armored(_OPENING).encode(),
    "qr": "\n".join(qr_parts(_LICENSE)).encode(),
    "carried-license": _LICENSE.data,
    "carried-statement": _OPENING.data,
    "summary": armored(_SUMMARY).encode(),
    "summary-qr": "\n".join(qr_parts(_SUMMARY)).encode(),
    "carried-summary": _SUMMARY.data,
}
"""What the parser of this name takes."""
