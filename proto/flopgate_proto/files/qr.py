"""QR codes: parts of a whole, each in the alphabet that QR packs most densely.

    FLOPGATE1:LICENSE:2/5:4H2KD0Q9TZV7M1P8XSJR:DATA:7QF0

Part 2 of 5 of what has this checksum, its symbols, and four that check the part. Parts may come in
any order and more than once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from flopgate_proto.errors import MalformedError, OversizedError
from flopgate_proto.files.checksum import base32, check_symbols, from_base32, plain
from flopgate_proto.files.content import Content, unpacked
from flopgate_proto.limits import QR_PARTS_MAX

PREFIX: Final = "FLOPGATE1:"
PART_SYMBOLS: Final = 1000
"""With what stands before them they fit a code of version 22 with error correction M: six
centimetres in print."""
_CHECK: Final = 4
_GIVEN_MAX: Final = 16 * QR_PARTS_MAX
_PART: Final = re.compile(
    r"FLOPGATE1:([A-Z]{1,20}):([0-9]{1,3})/([0-9]{1,3}):([0-9A-Z]{20}):([0-9A-Z]{1,1000}):([0-9A-Z]{4})"
)


def is_qr_part(text: str) -> bool:
    """Whether it is what a QR code of ours says, or means to be."""
    return text.lstrip().upper().startswith(PREFIX)


def qr_parts(content: Content) -> list[str]:
    """Texts of the codes, in order.

    Raises:
        OversizedError: too long to be scanned.
    """
    symbols = base32(content.packed())
    parts = [symbols[at : at + PART_SYMBOLS] for at in range(0, len(symbols), PART_SYMBOLS)]
    if len(parts) > QR_PARTS_MAX:
        raise OversizedError(
            f"{len(parts)} QR codes, at most {QR_PARTS_MAX} are made",
            code="qr.oversized",
            remedy="Take the file, or ask for an approval of fewer hosts.",
        )
    checksum = plain(content.checksum)
    bodies = (
        f"{PREFIX}{content.kind.value}:{number}/{len(parts)}:{checksum}:{part}"
        for number, part in enumerate(parts, start=1)
    )
    return [f"{body}:{check_symbols(body, _CHECK)}" for body in bodies]


def join_qr(texts: Iterable[str]) -> list[Content]:
    """Each whole from texts of codes, in any order, with some of them twice.

    Raises:
        MalformedError, OversizedError: a part is misread, contradicts another, or is missing.
    """
    wholes: dict[tuple[str, str], dict[int, str]] = {}
    counts: dict[tuple[str, str], int] = {}
    for given, text in enumerate(texts):
        if given >= _GIVEN_MAX:
            raise OversizedError(
                f"more than {_GIVEN_MAX} QR codes",
                code="qr.oversized",
                remedy="Give those of fewer wholes at a time.",
            )
        kind, number, count, checksum, symbols = _part(text)
        whole = kind, checksum
        known = wholes.setdefault(whole, {}).setdefault(number, symbols)
        if counts.setdefault(whole, count) != count or known != symbols:
            raise MalformedError(
                f"part {number} of {count} contradicts another part",
                code="qr.mixed",
                remedy="Scan all of them again.",
            )
    if not wholes:
        raise MalformedError(
            "there is no QR code of ours",
            code="qr.none",
            remedy="Give what `flopgate-agent license show --form qr` made, scanned or as text.",
        )
    return [_joined(*whole, parts, counts[whole]) for whole, parts in wholes.items()]


def _joined(kind: str, checksum: str, parts: Mapping[int, str], count: int) -> Content:
    missing = [str(number) for number in range(1, count + 1) if number not in parts]
    if missing:
        raise MalformedError(
            f"part {', '.join(missing)} of {count} is missing",
            code="qr.missing",
            remedy="Scan it, and give all parts together.",
        )
    packed = from_base32("".join(parts[number] for number in range(1, count + 1)))
    groups = "-".join(checksum[at : at + 5] for at in range(0, len(checksum), 5))
    return unpacked(kind, packed or b"", groups)


def _part(text: str) -> tuple[str, int, int, str, str]:
    text = text.strip().upper()
    found = _PART.fullmatch(text)
    number, count = (int(found[2]), int(found[3])) if found else (0, 0)
    body = text[: -_CHECK - 1]
    if (
        found is None
        or not 1 <= number <= count <= QR_PARTS_MAX
        or check_symbols(body, _CHECK) != found[6]
    ):
        raise MalformedError(
            f"{text[:30]!r} is no whole QR code of ours",
            code="qr.part",
            remedy="Scan it again.",
        )
    return found[1], number, count, found[4], found[5]
