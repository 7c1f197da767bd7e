"""Numbers as people list them on a command line: ``7``, ``1..1000``, ``3,5,9..12``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from flopgate_proto.errors import ConfigError

NUMBER_MAX: Final = 2**63 - 1
PARTS_MAX: Final = 1_000
SHOWN_MAX: Final = 40
_PART: Final = re.compile(r"([0-9]+)(?:\.\.([0-9]+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Numbers:
    """In the order in which they were written, each once; never held in memory one by one."""

    ranges: tuple[range, ...]

    @property
    def count(self) -> int:
        """How many; `len` would end at 2^63-1."""
        return sum(one.stop - one.start for one in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for one in self.ranges:
            yield from one

    def __str__(self) -> str:
        """As it is written."""
        return ",".join(
            f"{one.start}" if one.stop - one.start == 1 else f"{one.start}..{one.stop - 1}"
            for one in self.ranges
        )


def parse_numbers(text: str, option: str) -> Numbers:
    """Read what follows an option; both ends of a range belong to it.

    Raises:
        ConfigError: it is no such list, a number is above 2^63-1, or one stands in it twice.
    """
    parts = text.split(",")
    if len(parts) > PARTS_MAX:
        raise _wrong(option, f"{len(parts)} parts, at most {PARTS_MAX} are taken")
    ranges = tuple(_range(part.strip(), option) for part in parts)
    rising = sorted(ranges, key=lambda one: one.start)
    for before, after in pairwise(rising):
        if after.start < before.stop:
            raise _wrong(option, f"{after.start} stands in it twice")
    return Numbers(ranges)


def _range(part: str, option: str) -> range:
    found = _PART.fullmatch(part)
    if found is None or len(part) > 2 * SHOWN_MAX:
        shown = part if len(part) <= SHOWN_MAX else f"{part[:SHOWN_MAX]}..."
        raise _wrong(option, f"{shown!r} is no number and no range")
    first = int(found[1])
    last = first if found[2] is None else int(found[2])
    if max(first, last) > NUMBER_MAX:
        raise _wrong(option, f"{max(first, last)} is above the highest, 2^63-1")
    if last < first:
        raise _wrong(option, f"{part} runs backwards")
    return range(first, last + 1)


def _wrong(option: str, what: str) -> ConfigError:
    return ConfigError(
        f"{option}: {what}",
        code="campaign.numbers",
        remedy="Write one (7), a range (1..1000), or several of both (3,5,9..12).",
    )
