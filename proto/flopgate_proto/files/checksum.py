"""Base32 that people can type, and a checksum that they can compare by voice.

The alphabet is Crockford's: digits and letters without I, L, O and U. Whoever reads takes i and l
for 1, o for 0, and small letters for capitals.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ: Final = str.maketrans(
    {letter.lower(): letter for letter in ALPHABET if letter.isalpha()}
    | {"o": "0", "O": "0", "i": "1", "I": "1", "l": "1", "L": "1"}
)
_RFC: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_FROM_RFC: Final = str.maketrans(_RFC, ALPHABET)
_TO_RFC: Final = str.maketrans(ALPHABET, _RFC)
SPOKEN_SYMBOLS: Final = 20
"""100 bits: nobody finds another license with the same, and it is said in half a minute."""


def base32(data: bytes) -> str:
    """Bytes as symbols, the last one filled up with zero bits."""
    return base64.b32encode(data).decode().rstrip("=").translate(_FROM_RFC)


def plain(text: str) -> str:
    """Symbols as they were meant, without spaces and hyphens."""
    return text.translate(_READ).replace(" ", "").replace("-", "")


def from_base32(symbols: str) -> bytes | None:
    """Bytes of symbols as `plain` gives them; ``None`` where they are not what `base32` writes."""
    filled = symbols.translate(_TO_RFC) + "=" * (-len(symbols) % 8)
    try:
        data = base64.b32decode(filled)
    except ValueError:
        return None
    return data if base32(data) == symbols else None


def check_symbols(text: str, count: int) -> str:
    """So many symbols of the digest of a line."""
    return base32(hashlib.sha256(text.encode(errors="backslashreplace")).digest())[:count]


def spoken(digest: bytes) -> str:
    """Four groups of five symbols of a digest, for two people on a telephone."""
    symbols = base32(digest)[:SPOKEN_SYMBOLS]
    return "-".join(symbols[at : at + 5] for at in range(0, SPOKEN_SYMBOLS, 5))
