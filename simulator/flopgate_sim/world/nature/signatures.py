"""A cheap stand-in for signatures, for campaigns over many seeds.

Here a signature is a hash over public key and message. Anyone could make it, but in a simulated
world nobody signs except with a key that he holds. Shipped scenarios also run with the real scheme.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from flopgate_proto.errors import ForgedError
from flopgate_proto.keys import SigningKey, VerifyingKey
from flopgate_sim.campaign.outcome import REAL


def _tag(spki: bytes, message: bytes) -> bytes:
    return hashlib.sha256(spki + message).digest()


def _sign(key: SigningKey, message: bytes) -> bytes:
    return _tag(key.spki, message)


def _verify(key: VerifyingKey, signature: bytes, message: bytes) -> None:
    if signature != _tag(key.spki, message):
        raise ForgedError(
            f"signature of key {key.key_id[:12]} does not hold", code="signature.invalid"
        )


@contextmanager
def scheme(name: str) -> Iterator[None]:
    """Sign and verify by this scheme inside the block."""
    if name == REAL:
        yield
        return
    sign, verify = SigningKey.sign, VerifyingKey.verify
    setattr(SigningKey, "sign", _sign)  # noqa: B010  # a plain assignment is no method
    setattr(VerifyingKey, "verify", _verify)  # noqa: B010  # as above
    try:
        yield
    finally:
        setattr(SigningKey, "sign", sign)  # noqa: B010  # as above
        setattr(VerifyingKey, "verify", verify)  # noqa: B010  # as above
