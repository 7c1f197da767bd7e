"""Who may call which RPC: one table; what is not in it is denied.

The role comes from the client certificate's URI (``flopgate://AUTHORITY/host/HEX``). A certificate
opens the door to an RPC and nothing more: reports and orders carry their own signatures.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flopgate_proto.limits import DIGEST_BYTES


class Role(enum.Enum):
    """What a caller is, by its certificate."""

    ANYONE = "anyone"
    HOST = "host"
    RELAY = "relay"
    OFFICER = "officer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A caller. ``name``: host id in hexadecimal, or the relay's or officer's name."""

    role: Role
    name: str = ""

    @property
    def host_id(self) -> bytes | None:
        """The one host that the caller speaks for; ``None`` if it is no host."""
        return bytes.fromhex(self.name) if self.role is Role.HOST else None

    @property
    def text(self) -> str:
        """In words; different for different callers."""
        return f"{self.role.value}/{self.name}"


ANYONE: Final = Identity(role=Role.ANYONE)

_CERTIFIED: Final = frozenset({Role.HOST, Role.RELAY, Role.OFFICER})
_ALL: Final = frozenset(Role)

LINK: Final = "/flopgate.v1.GovernorService/Link"

ALLOWED: Final[Mapping[str, frozenset[Role]]] = {
    LINK: frozenset({Role.HOST, Role.RELAY}),
    "/flopgate.v1.GovernorService/SubmitOrder": frozenset({Role.OFFICER}),
    "/flopgate.v1.GovernorService/GetStatus": frozenset({Role.OFFICER}),
    "/flopgate.v1.GovernorService/Deliver": frozenset({Role.OFFICER}),
    "/flopgate.v1.GovernorService/IssueLicenses": frozenset({Role.OFFICER}),
    "/flopgate.v1.RegistrationService/Enroll": _ALL,
    "/grpc.health.v1.Health/Check": _ALL,
    "/grpc.health.v1.Health/Watch": _ALL,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ALL,
}


def allowed(method: str, role: Role) -> bool:
    """Whether a role may call a method; unknown methods: nobody."""
    return role in ALLOWED.get(method, frozenset())


def identify(authority: str, names: Sequence[bytes]) -> Identity:
    """The caller by the alternative names of its verified certificate; else ``ANYONE``.

    A certificate with two of our URIs is nobody's: which of them counts must not be a guess.
    """
    prefix = f"flopgate://{authority}/".encode()
    ours = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    if len(ours) != 1:
        return ANYONE
    try:
        kind, _, name = ours[0].decode("ascii").partition("/")
        identity = Identity(role=Role(kind), name=name)
    except ValueError:
        return ANYONE
    if identity.role not in _CERTIFIED or not name or "/" in name:
        return ANYONE
    return identity if identity.role is not Role.HOST or _is_host_id(name) else ANYONE


def uri_of(authority: str, role: Role, name: str) -> str:
    """The URI that a client certificate carries."""
    return f"flopgate://{authority}/{role.value}/{name}"


def _is_host_id(name: str) -> bool:
    try:
        return len(bytes.fromhex(name)) == DIGEST_BYTES
    except ValueError:
        return False
