"""What each host of a site says once it was given its license, and who has not said so.

A receipt is one line of JSON, as `license install --json` writes it. Nobody signed it; what counts
is the host's next report.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from flopgate_proto.codec import checks
from flopgate_proto.errors import MalformedError
from flopgate_proto.files import is_reserve, license_content
from flopgate_proto.v1 import flopgate_pb2 as pb

RECEIPT_BYTES_MAX: Final = 65_536
"""All that one host says."""
_RECEIPTS_MAX: Final = 64
_WHAT: Final = "what `flopgate-agent license install --json` writes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One license that a host has.

    Attributes:
        name: of the host, for people.
        host: its id, hexadecimal.
        reserve: its kind; a license and a reserve stand side by side.
        checksum: of the license, as `license show` gives it.
        already: it had this license before.
    """

    name: str
    host: str
    authority: str
    reserve: bool
    checksum: str
    already: bool

    @property
    def key(self) -> tuple[str, str, bool]:
        """Of these a host has one."""
        return self.host, self.authority, self.reserve


def receipt_of(license_: pb.HostLicense, name: str, *, already: bool) -> Receipt:
    """That the gate of this host has taken it."""
    return Receipt(
        name=name,
        host=license_.host_id.hex(),
        authority=license_.authority,
        reserve=is_reserve(license_),
        checksum=license_content(license_).checksum,
        already=already,
    )


def receipt_line(receipt: Receipt) -> str:
    """As it is written."""
    return json.dumps({"flopgate": "license-receipt", **asdict(receipt)}) + "\n"


def read_receipts(data: bytes) -> list[Receipt]:
    """Every receipt of one host; lines of other things, such as a host's greeting, are passed over.

    Raises:
        MalformedError: there is none, or one is not whole.
    """
    lines = [line for line in data.splitlines() if b'"license-receipt"' in line]
    if not 1 <= len(lines) <= _RECEIPTS_MAX:
        raise MalformedError(
            f"{len(lines)} receipts, where a host gives one for each license"
            if lines
            else "it gave no receipt",
            code="license.receipt",
            remedy=f"A receipt is {_WHAT}.",
        )
    return [_receipt(line) for line in lines]


class Roll:
    """Who has taken which license of a file.

    Attributes:
        problems: why somebody's receipt does not count, by name.
    """

    def __init__(self, licenses: Iterable[pb.HostLicense]) -> None:
        given = [receipt_of(one, "", already=False) for one in licenses]
        self._given = {one.key: one for one in given}
        self._taken: dict[tuple[str, str, bool], str] = {}
        self.problems: dict[str, str] = {}

    def take(self, name: str, receipts: Sequence[Receipt]) -> None:
        """What came from the host of this name."""
        for one in receipts:
            key, beside = one.key, (one.host, one.authority, not one.reserve)
            given = self._given.get(key)
            if given is None:
                if beside not in self._given:
                    self.problems[name] = f"it is host {one.host[:16]}, which has no license here"
            elif given.checksum != one.checksum:
                self.problems[name] = f"it has another {_word(key)} of {one.authority} than this"
            elif self._taken.setdefault(key, name) != name:
                self.problems[name] = f"it is host {one.host[:16]}, and so is {self._taken[key]}"

    def fail(self, name: str, why: str) -> None:
        """Nothing that counts came from the host of this name."""
        self.problems[name] = why

    def names(self) -> set[str]:
        """Of the hosts that have theirs."""
        return set(self._taken.values()) - self.problems.keys()

    def silent(self, names: Iterable[str]) -> list[str]:
        """Those of these hosts that were not heard of."""
        heard = self.names() | self.problems.keys()
        return [name for name in dict.fromkeys(names) if name not in heard]

    def untaken(self) -> list[str]:
        """A line for each license that nobody has taken."""
        return [
            f"host {one.host} has not taken the {_word(one.key)} of {one.authority}"
            for one in self._left()
        ]

    def _left(self) -> list[Receipt]:
        return [one for key, one in self._given.items() if key not in self._taken]

    def document(self, names: Iterable[str]) -> dict[str, Any]:
        """For programs: who has, who has not and why, and which licenses nobody has taken."""
        return {
            "installed": sorted(self.names()),
            "failed": dict(sorted(self.problems.items())),
            "silent": self.silent(names),
            "untaken": [
                {"host": one.host, "authority": one.authority, "reserve": one.reserve}
                for one in self._left()
            ],
        }


def _word(key: tuple[str, str, bool]) -> str:
    return "reserve" if key[2] else "license"


def _receipt(line: bytes) -> Receipt:
    try:
        found: Mapping[str, Any] = json.loads(line)
        texts = {
            key: checks.text(_text(found[key]), key)
            for key in ("name", "host", "authority", "checksum")
        }
        checks.digest(bytes.fromhex(texts["host"]), "host")
        return Receipt(**texts, reserve=found["reserve"] is True, already=found["already"] is True)
    except (ValueError, KeyError, TypeError, RecursionError, MalformedError) as error:
        raise MalformedError(
            "a receipt that is not whole", code="license.receipt", remedy=f"It is {_WHAT}."
        ) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
