"""QR codes as pictures: drawn by segno, read back by zxing-cpp (the extra ``qr``)."""

from __future__ import annotations

import importlib
import io
import struct
from typing import Any, Final

from flopgate_proto.errors import ConfigError, MalformedError

_MAGIC: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_PIXELS_PER_MODULE: Final = 4
_BORDER_MODULES: Final = 4
"""ISO/IEC 18004 asks for so much."""
_PIXELS_MAX: Final = 64_000_000
_BROKEN: Final = (OSError, ValueError, SyntaxError, IndexError, TypeError, struct.error)
"""What Pillow raises for a picture that is none; the last four its readers let through."""


def is_image(data: bytes) -> bool:
    """Whether it begins like a PNG or a JPEG."""
    return data.startswith(_MAGIC)


def qr_png(part: str) -> bytes:
    """A PNG of one part.

    Raises:
        ConfigError: what draws it is not installed.
    """
    code = _library("segno").make(part, error="m", micro=False, mode="alphanumeric")
    picture = io.BytesIO()
    code.save(picture, kind="png", scale=_PIXELS_PER_MODULE, border=_BORDER_MODULES)
    return picture.getvalue()


def read_qr(data: bytes) -> list[str]:
    """Texts of all QR codes in a picture, a photograph or a scan with several of them too.

    Raises:
        ConfigError: what reads it is not installed.
        MalformedError: no picture, or no QR code in it.
    """
    images, zxing = _library("PIL.Image"), _library("zxingcpp")
    try:
        with images.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
            if picture.width * picture.height > _PIXELS_MAX:
                raise MalformedError(
                    f"a picture of {picture.width} by {picture.height}, too large to be read",
                    code="qr.picture",
                    remedy="Scan it with fewer dots per inch.",
                )
            grey = picture.convert("L")
    except (*_BROKEN, images.DecompressionBombError) as error:
        raise MalformedError(
            "no picture that can be read",
            code="qr.picture",
            remedy="Save the scan again, as PNG or JPEG.",
        ) from error
    # Among the modules of a QR code now and then a bar code seems to stand.
    seen = zxing.read_barcodes(grey, formats=zxing.BarcodeFormat.QRCode)
    found = [str(one.text) for one in seen if one.valid]
    if not found:
        raise MalformedError(
            "no QR code is seen in the picture",
            code="qr.picture",
            remedy="Scan it flat, sharp and evenly lit, or type the text for paper.",
        )
    return found


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{name.partition('.')[0]} is not installed",
            code="qr.extra",
            remedy="Install flopgate[qr]; its versions are in requirements/qr.txt.",
        ) from error
