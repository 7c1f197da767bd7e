"""Files of JSON lines: a head that says what it is, a line each, an end that seals the whole.

    {"flopgate": KIND, "version": 1}
    {...}
    {"end": NUMBER OF LINES BETWEEN, "sha256": OF ALL LINES BEFORE}

They may be larger than memory: one line at a time is read and written, each of at most
``FILE_LINE_BYTES_MAX``. The end is no signature. It tells a file that was cut off, changed on its
way, or glued to another, from a whole one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from flopgate_proto.amounts import counted
from flopgate_proto.errors import MalformedError, OversizedError, UnknownVersionError
from flopgate_proto.limits import FILE_LINE_BYTES_MAX

VERSION: Final = 1
_AGAIN: Final = "Fetch the file again, whole."
Line = Mapping[str, Any]


def is_lines(data: bytes, kind: str = "") -> bool:
    """Whether a file that begins so is one of these, or of this kind, or means to be."""
    begin = data.lstrip()[:80]
    ours = begin[:1] == b"{" and b'"flopgate"' in begin
    return ours and (not kind or f'"{kind}"'.encode() in begin)


def write_lines(kind: str, bodies: Iterable[Line]) -> Iterator[bytes]:
    """Each line of the file, its end included."""
    sealed, count = hashlib.sha256(), 0
    head = _line({"flopgate": kind, "version": VERSION})
    sealed.update(head)
    yield head
    for count, body in enumerate(bodies, start=1):
        line = _line(body)
        if len(line) > FILE_LINE_BYTES_MAX:
            raise _too_long(count)
        sealed.update(line)
        yield line
    yield _line({"end": count, "sha256": sealed.hexdigest()})


def read_lines(kind: str, chunks: Iterable[bytes]) -> Iterator[Line]:
    """What stands between head and end, as it comes; raises at the end if the file is not whole.

    Raises:
        MalformedError, OversizedError, UnknownVersionError: naming the line.
    """
    sealed, count, whole = hashlib.sha256(), 0, False
    for number, (raw, ended) in enumerate(_split(chunks), start=1):
        if whole:
            raise MalformedError(
                f"line {number}: the file goes on after its end",
                code="license-file.glued",
                remedy="Name each file by itself; only request files are merged, by "
                "`flopgate-agent license gather`.",
            )
        line = _parsed(raw, number, ended=ended)
        if number == 1:
            _check_head(line, kind)
        elif "end" in line:
            _check_end(line, count, sealed.hexdigest())
            whole = True
            continue
        else:
            count += 1
            yield line
        sealed.update(raw + b"\n")
    if not whole:
        raise _cut(f"after {counted(count, 'line')}")


def malformed(what: str) -> MalformedError:
    """A line, or what is in it, is not what stands in such a file."""
    return MalformedError(what, code="license-file.malformed", remedy=_AGAIN)


def _cut(where: str) -> MalformedError:
    return MalformedError(f"the file is cut off {where}", code="license-file.cut", remedy=_AGAIN)


def _line(body: Line) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def _split(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines without their ends, and whether each had one; a mail program's CRLF is no change."""
    left, number = b"", 1
    for chunk in chunks:
        *lines, left = (left + chunk).split(b"\n")
        for line in lines:
            if len(line) > FILE_LINE_BYTES_MAX:
                raise _too_long(number)
            number += 1
            yield line.removesuffix(b"\r"), True
        if len(left) > FILE_LINE_BYTES_MAX:
            raise _too_long(number)
    if left.strip():
        yield left.removesuffix(b"\r"), False


def _too_long(number: int) -> OversizedError:
    return OversizedError(
        f"line {number} is longer than {FILE_LINE_BYTES_MAX} bytes",
        code="license-file.oversized",
        remedy=_AGAIN,
    )


def _parsed(raw: bytes, number: int, *, ended: bool) -> Line:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError) as error:
        if not ended and (number > 1 or is_lines(raw)):
            raise _cut(f"in line {number}") from error
        if number == 1:
            raise MalformedError(
                "line 1 is not JSON: this is no request or license file",
                code="license-file.malformed",
                remedy="Name what `license request`, `license gather` or `license issue` wrote.",
            ) from error
        raise malformed(f"line {number} is not JSON") from error
    if not isinstance(line, dict):
        raise malformed(f"line {number} is not a JSON object")
    return line


def _check_head(line: Line, kind: str) -> None:
    found = line.get("flopgate")
    if not isinstance(found, str):
        raise malformed("the first line does not say what file this is")
    if found != kind:
        raise MalformedError(
            f"a file of kind {found[:40]!r} where {kind!r} was expected",
            code="license-file.kind",
            remedy="`license issue` takes what `license request` wrote; `license install` what "
            "`license issue` gave.",
        )
    if line.get("version") != VERSION:
        raise UnknownVersionError(
            f"{kind} file of a version other than {VERSION}",
            code="license-file.version",
            remedy="Update this software, or the sender's.",
        )


def _check_end(line: Line, count: int, digest: str) -> None:
    if line.get("end") != count or line.get("sha256") != digest:
        raise MalformedError(
            f"the file is not as it was written: {count} lines, and their digest is {digest[:16]}…",
            code="license-file.changed",
            remedy=_AGAIN,
        )
