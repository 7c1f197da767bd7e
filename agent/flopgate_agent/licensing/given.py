"""What the command is given: files of any form, each told by how it begins."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from flopgate_proto.codec import envelope_from_json
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ConfigError, FlopgateError, MalformedError
from flopgate_proto.files import (
    FORM_BYTES_MAX,
    REQUEST_KIND,
    Content,
    Forms,
    Summary,
    asking_hosts,
    is_lines,
    license_in,
    license_of,
    read_licenses,
    statement_in,
    summary_in,
    summary_of,
)
from flopgate_proto.files.content import Kind
from flopgate_proto.v1 import flopgate_pb2 as pb

CHUNK_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Given:
    """Licenses, statements, and what request files ask for, of all files together."""

    licenses: list[pb.HostLicense] = field(default_factory=list)
    statements: list[Envelope] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)

    def some_licenses(self) -> list[pb.HostLicense]:
        """All licenses.

        Raises:
            MalformedError: there is none.
        """
        if not self.licenses:
            raise MalformedError(
                "no license is in what was given",
                code="license.given",
                remedy="Look at it with `flopgate-agent license show`.",
            )
        return self.licenses

    def statement(self, payload_type: str, what: str) -> Envelope:
        """The one statement of this type.

        Raises:
            MalformedError: it is not there, or something else is.
        """
        if len(self.statements) != 1 or self.statements[0].payload_type != payload_type:
            raise MalformedError(
                f"what was given is not {what}",
                code="license.given",
                remedy="Look at it with `flopgate-agent license show`.",
            )
        return self.statements[0]


def read_given(paths: Sequence[str], host_id: bytes = b"") -> Given:
    """Everything in these files; QR codes may be spread over several.

    Args:
        paths: of files; ``-`` for standard input.
        host_id: of a license file of a whole site only this host's part is kept; empty: all of it.

    Raises:
        ConfigError, MalformedError, OversizedError: naming the file.
        MisdirectedError: a license file has no part for the host.
    """
    given, forms = Given(), Forms()
    for path in paths:
        with naming(path), opened(path) as file:
            first = file.read(CHUNK_BYTES)
            if is_lines(first, REQUEST_KIND):
                given.summaries.append(summary_of(asking_hosts(chunks(file, first))))
            elif is_lines(first):
                found = read_licenses(chunks(file, first))
                given.licenses.extend(license_of(found, host_id) if host_id else found)
            else:
                data = first + file.read(FORM_BYTES_MAX)
                if not forms.take(data):
                    given.statements.append(_statement(data.decode(errors="replace")))
    _add(given, forms.contents())
    return given


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file, or standard input for ``-``.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        if path == "-":
            yield sys.stdin.buffer
            return
        with Path(path).open("rb") as file:
            yield file
    except OSError as error:
        raise ConfigError(
            f"cannot read it: {error.strerror}",
            code="license.unreadable",
            remedy="Name files that are there and that this user may read.",
        ) from error


def chunks(file: BinaryIO, first: bytes = b"") -> Iterator[bytes]:
    """The file piece by piece."""
    yield first
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Says which file an error is about."""
    try:
        yield
    except FlopgateError as error:
        error.detail = f"{path}: {error.detail}"
        raise


def _statement(text: str) -> Envelope:
    try:
        return envelope_from_json(text)
    except MalformedError as error:
        error.remedy = (
            "What is taken: what `license request`, `issue` or `time` wrote, its text of paper, "
            "or its QR codes."
        )
        raise


def _add(given: Given, contents: Iterable[Content]) -> None:
    for content in contents:
        if content.kind is Kind.LICENSE:
            given.licenses.append(license_in(content))
        elif content.kind is Kind.SUMMARY:
            given.summaries.append(summary_in(content))
        else:
            given.statements.append(statement_in(content))
