"""Why an address cannot be listened on: gRPC does not say, a socket of our own does."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from flopgate_governor.announcement import split_address
from flopgate_proto.errors import ConfigError

_MENDS: Final = {
    errno.EADDRINUSE: "Stop what listens there (`ss -ltnp` names it), or name another port with "
    "{option}; port 0 takes a free one.",
    errno.EADDRNOTAVAIL: "Name an address of this machine with {option} (`ip address` lists them), "
    "or 0.0.0.0 together with --advertise.",
    errno.EACCES: "Name a port from 1024 on with {option}: those below need a right of their own.",
}
_ELSE: Final = "Name an address of this machine and a free port with {option}."
_UNRESOLVED: Final = "Write the address in figures with {option}, or mend the name's resolution."


def listen_fault(address: str, option: str) -> ConfigError | None:
    """The error for an address that cannot be opened, ``None`` where it can.

    To be asked before gRPC is, which would write its own line to standard error.

    Args:
        address: ``HOST:PORT``.
        option: of the command line that names it, as in ``--listen``.
    """
    found = _probe(address)
    return None if found is None else _fault(address, option, *found)


def refused(address: str, option: str) -> ConfigError:
    """The error for an address that gRPC would not open: arguments as of `listen_fault`."""
    return listen_fault(address, option) or _fault(address, option, "gRPC refused it", _ELSE)


def _fault(address: str, option: str, reason: str, mend: str) -> ConfigError:
    return ConfigError(
        f"cannot listen on {address}: {reason}",
        code="listen.failed",
        remedy=mend.format(option=option),
    )


def _probe(address: str) -> tuple[str, str] | None:
    """The reason, and how to mend it. One of the addresses of a name is enough, as for gRPC."""
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(
            host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        return f"the host cannot be resolved ({error.strerror})", _UNRESOLVED
    failed = None
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                # As gRPC does: what merely lingers after a stop is in nobody's way.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                probe.listen(1)
        except OSError as error:
            failed = failed or error
        else:
            return None
    if failed is None:
        return None
    number = failed.errno or 0
    name = errno.errorcode.get(number, "unknown")
    return f"{os.strerror(number).lower()} ({name})", _MENDS.get(number, _ELSE)
