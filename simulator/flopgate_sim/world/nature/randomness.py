"""One seed, and a stream of randomness for each purpose: what one does moves no other."""

from __future__ import annotations

import hashlib
import math
import random

from flopgate_proto.keys import SigningKey

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order of the group of P-256 (NIST SP 800-186, section 3.2.1.3)."""


class Streams:
    """Named streams of one seed. The same name gives the same stream, whoever asked first."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def _digest(self, name: str) -> bytes:
        return hashlib.sha256(f"{self.seed}/{name}".encode()).digest()

    def of(self, name: str) -> random.Random:
        """A new stream, at its beginning."""
        return random.Random(int.from_bytes(self._digest(name), "big"))

    def entropy(self, name: str, count: int) -> bytes:
        """Bytes that stand for entropy, 1 to 32."""
        return self._digest(name)[:count]

    def key(self, name: str) -> SigningKey:
        """A P-256 key."""
        scalar = int.from_bytes(self._digest(f"key/{name}"), "big") % (_P256_ORDER - 1) + 1
        return SigningKey.from_scalar(scalar)


def waits_ms(source: random.Random, mean_ms: float) -> int:
    """Time to the next of independent events of this mean distance, 1 ms at least."""
    return max(1, round(-math.log(1.0 - source.random()) * mean_ms))


def happens(source: random.Random, percent: float) -> bool:
    """Whether something of this chance happens."""
    return source.random() * 100 < percent
