"""What paper and QR codes carry: a license, a signed statement, or what a file asks for, packed."""

from __future__ import annotations

import enum
import hashlib
import zlib
from dataclasses import dataclass
from typing import Final

from flopgate_proto.errors import MalformedError, OversizedError
from flopgate_proto.files.checksum import spoken
from flopgate_proto.limits import CARRIED_BYTES_MAX

_AGAIN: Final = "Compare the checksum with the sender's, and read it again."


class Kind(enum.Enum):
    """What the bytes are; the value stands on the first line, and in each QR code."""

    LICENSE = "LICENSE"
    STATEMENT = "STATEMENT"
    SUMMARY = "SUMMARY"


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes of one message of its kind.

    A `HostLicense`, the `Envelope` of an opening or a time, or a `RequestSummary`.
    """

    kind: Kind
    data: bytes

    @property
    def checksum(self) -> str:
        """Of kind and bytes, for people to compare."""
        digest = hashlib.sha256(self.kind.value.encode() + b"\x00" + self.data).digest()
        return spoken(digest)

    def packed(self) -> bytes:
        """Compressed.

        Raises:
            OversizedError: too long to be typed or scanned.
        """
        if len(self.data) > CARRIED_BYTES_MAX:
            raise OversizedError(
                f"{len(self.data)} bytes are too many for paper and QR codes, which take "
                f"{CARRIED_BYTES_MAX}",
                code="carried.oversized",
                remedy="Take the file, or ask for an approval of fewer hosts.",
            )
        return zlib.compress(self.data, 9)


def unpacked(kind: str, packed: bytes, checksum: str) -> Content:
    """Content whose checksum is the one that came along.

    Raises:
        MalformedError, OversizedError: it is not, or was never packed so.
    """
    try:
        named = Kind(kind)
    except ValueError as error:
        raise MalformedError(
            f"{kind[:40]!r} is nothing that is carried so",
            code="carried.kind",
            remedy="Update this software, or the sender's.",
        ) from error
    stretch = zlib.decompressobj()
    try:
        data = stretch.decompress(packed, CARRIED_BYTES_MAX + 1)
    except zlib.error as error:
        raise _changed() from error
    if len(data) > CARRIED_BYTES_MAX:
        raise OversizedError(
            f"more than {CARRIED_BYTES_MAX} bytes", code="carried.oversized", remedy=_AGAIN
        )
    content = Content(named, data)
    if not stretch.eof or stretch.unused_data or content.checksum != checksum:
        raise _changed()
    return content


def _changed() -> MalformedError:
    return MalformedError(
        "what was read is not what was written", code="carried.changed", remedy=_AGAIN
    )
