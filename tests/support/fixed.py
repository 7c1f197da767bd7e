"""Fixed keys and names that the builders of statements share.

P-256 signatures are deterministic here: the same statement gets the same bytes in every run.
"""

from __future__ import annotations

from typing import Final

from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.values import Scope, ScopeKind, Software

AUTHORITY: Final = "agency.example"
WORKLOAD: Final = "run-7"

HOST_KEY: Final = SigningKey.from_scalar(0x1001)
COURIER_KEY: Final = SigningKey.from_scalar(0x2001)
PERMIT_KEY: Final = SigningKey.from_scalar(0x3001)
STRANGER_KEY: Final = SigningKey.from_scalar(0x4001)
OFFICER_KEYS: Final = tuple(SigningKey.from_scalar(0x5001 + n) for n in range(3))

HOST_ID: Final = key_digest(HOST_KEY.spki)
RUN_NONCE: Final = bytes([0x11] * 16)
BOOT_ID: Final = bytes([0x22] * 16)
TOKEN_ID: Final = bytes([0x33] * 16)
TOKEN_SECRET: Final = bytes([0x44] * 32)
ORDER_NONCE: Final = bytes([0x55] * 16)
GOVERNOR_UNIX_MS: Final = 1_800_000_000_000

SOFTWARE: Final = Software(name="flopgate-agent", version="0.1.0", digest=bytes([0x66] * 32))
CLUSTER_SCOPE: Final = Scope(ScopeKind.CLUSTER, "hall-1")
SCOPES: Final = (
    Scope(ScopeKind.EVERYTHING),
    Scope(ScopeKind.JURISDICTION, "XX"),
    Scope(ScopeKind.CUSTODIAN, "operator.example"),
    Scope(ScopeKind.SITE, "site-1"),
    CLUSTER_SCOPE,
)
