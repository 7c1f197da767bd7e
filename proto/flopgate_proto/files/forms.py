"""Paper and QR codes told from whatever else a file may be."""

from __future__ import annotations

from typing import Final

from flopgate_proto.files.armor import is_armor, read_armor
from flopgate_proto.files.content import Content
from flopgate_proto.files.qr import is_qr_part, join_qr
from flopgate_proto.files.qr_images import is_image, read_qr
from flopgate_proto.limits import ARMOR_CHARS_MAX, MESSAGE_BYTES_MAX

FORM_BYTES_MAX: Final = max(4 * ARMOR_CHARS_MAX, MESSAGE_BYTES_MAX)
"""Text for paper, a picture, or a statement. The readers have their own limits within it."""


class Forms:
    """Paper and QR codes out of any number of files: the codes of a whole may lie in several."""

    def __init__(self) -> None:
        self._found: list[Content] = []
        self._codes: list[str] = []

    def take(self, data: bytes) -> bool:
        """What a file holds; false where it is none of these forms.

        Raises:
            ConfigError: what reads pictures is not installed.
            MalformedError, OversizedError: it is one, and amiss.
        """
        if is_image(data):
            self._codes += read_qr(data)
            return True
        text = data.decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        if is_armor(text):
            self._found += read_armor(text)
        elif lines and is_qr_part(lines[0]):
            self._codes += lines
        else:
            return False
        return True

    def contents(self) -> list[Content]:
        """All that was taken.

        Raises:
            MalformedError, OversizedError: a code is misread, contradicts another, or is missing.
        """
        return self._found + (join_qr(self._codes) if self._codes else [])
