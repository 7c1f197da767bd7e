"""Text fit for paper: a slip of the pen names its line.

    -----BEGIN FLOPGATE LICENSE-----
    checksum 4H2KD-0Q9TZ-V7M1P-8XSJR
    lines 12
    001 2S9RK 81JVD ... 7QF0
    ...
    -----END FLOPGATE LICENSE-----

A line is its number, 40 symbols of base32 in groups of five, and four symbols that check it. Other
text around it, as in a letter, is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from flopgate_proto.errors import MalformedError, OversizedError
from flopgate_proto.files.checksum import base32, check_symbols, from_base32, plain
from flopgate_proto.files.content import Content, unpacked
from flopgate_proto.limits import ARMOR_CHARS_MAX

_SYMBOLS: Final = 40
_CHECK: Final = 4
_LINES_MAX: Final = 4096
# A row of hyphens is tried from its first one only: else a long row costs its length squared.
_BEGIN: Final = re.compile(r"(?<!-)-+ ?BEGIN FLOPGATE ([A-Z]{1,20}) ?-+")
_END: Final = re.compile(r"(?<!-)-+ ?END FLOPGATE ([A-Z]{1,20}) ?-+")
_HEAD: Final = re.compile(r"(checksum|lines)[ :]+(\S{1,40})", re.IGNORECASE)
_LINE: Final = re.compile(r"([0-9]{1,4})\s+(\S.*)")


def is_armor(text: str) -> bool:
    """Whether it holds such a block, or the beginning of one."""
    return "BEGIN FLOPGATE" in text


def armored(content: Content) -> str:
    """The block, with its end of line."""
    symbols = base32(content.packed())
    parts = [symbols[at : at + _SYMBOLS] for at in range(0, len(symbols), _SYMBOLS)]
    lines = [
        f"-----BEGIN FLOPGATE {content.kind.value}-----",
        f"checksum {content.checksum}",
        f"lines {len(parts)}",
        *(_armored_line(number, part) for number, part in enumerate(parts, start=1)),
        f"-----END FLOPGATE {content.kind.value}-----",
    ]
    return "\n".join(lines) + "\n"


def read_armor(text: str) -> list[Content]:
    """What each block of a text holds, in their order.

    Raises:
        MalformedError, OversizedError: naming the line where one is amiss.
    """
    if len(text) > ARMOR_CHARS_MAX:
        raise OversizedError(
            f"text of {len(text)} characters, at most {ARMOR_CHARS_MAX} are read",
            code="armor.oversized",
            remedy="Give fewer blocks at a time, each in a file of its own.",
        )
    return [_content(kind, lines) for kind, lines in _blocks(text)]


def _content(kind: str, lines: list[str]) -> Content:
    heads: dict[str, str] = {}
    parts: dict[int, str] = {}
    for line in lines:
        if head := _HEAD.fullmatch(line):
            heads[head[1].lower()] = head[2]
        elif line:
            number, part = _read_line(line)
            if parts.setdefault(number, part) != part:
                raise _line_error(number, "stands there twice, and not the same")
    count = heads.get("lines", "")
    if not (count.isascii() and count.isdecimal() and 0 < int(count) <= _LINES_MAX):
        raise _cut("the line that says how many lines there are is missing or wrong")
    missing = [number for number in range(1, int(count) + 1) if number not in parts]
    if missing:
        raise _cut(f"line {_few(missing)} of {count} is missing")
    beyond = [number for number in parts if not 0 < number <= int(count)]
    if beyond:
        raise _line_error(beyond[0], f"is beyond the {count} lines that there are")
    packed = from_base32("".join(parts[number] for number in range(1, int(count) + 1)))
    groups = plain(heads.get("checksum", ""))
    checksum = "-".join(groups[at : at + 5] for at in range(0, len(groups), 5))
    return unpacked(kind, packed or b"", checksum)


def _armored_line(number: int, part: str) -> str:
    groups = " ".join(part[at : at + 5] for at in range(0, len(part), 5))
    return f"{number:03} {groups} {_check(number, part)}"


def _check(number: int, part: str) -> str:
    return check_symbols(f"{number} {part}", _CHECK)


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Kind and lines of each."""
    begin = _BEGIN.search(text)
    if begin is None:
        raise _cut("there is no line that begins a block")
    while begin is not None:
        end = _END.search(text, begin.end())
        if end is None or end[1] != begin[1]:
            raise _cut("there is no line that ends the block")
        yield begin[1], [line.strip() for line in text[begin.end() : end.start()].splitlines()]
        begin = _BEGIN.search(text, end.end())


def _read_line(line: str) -> tuple[int, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise MalformedError(
            f"{line[:20]!r} does not begin with the number of its line",
            code="armor.line",
            remedy="Compare it with the paper.",
        )
    number, symbols = int(found[1]), plain(found[2])
    part, check = symbols[:-_CHECK], symbols[-_CHECK:]
    if not part or check != _check(number, part):
        raise _line_error(number, "is mistyped")
    return number, part


def _line_error(number: int, what: str) -> MalformedError:
    return MalformedError(
        f"line {number} {what}", code="armor.line", remedy="Compare it with the paper."
    )


def _cut(what: str) -> MalformedError:
    return MalformedError(what, code="armor.cut", remedy="Give the whole block, from BEGIN to END.")


def _few(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:5])
    return f"{shown} and {len(numbers) - 5} more" if len(numbers) > 5 else shown  # noqa: PLR2004
