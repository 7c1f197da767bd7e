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


def listen_fault(address: str, option: str) -> ConfigError:
    """The error for an address that gRPC could not open.

    Args:
        address: ``HOST:PORT``.
        option: of the command line that names it, as in ``--listen``.
    """
    reason, mend = _probe(address)
    return ConfigError(
        f"cannot listen on {address}: {reason}",
        code="listen.failed",
        remedy=mend.format(option=option),
    )


def _probe(address: str) -> tuple[str, str]:
    """The reason, and how to mend it: bind once more where it can be seen."""
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(
            host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        return f"the host cannot be resolved ({error.strerror})", _UNRESOLVED
    for family, kind, protocol, _, where in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                # As gRPC does: what merely lingers after a stop is in nobody's way.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
                probe.listen(1)
        except OSError as error:
            number = error.errno or 0
            name = errno.errorcode.get(number, "unknown")
            return f"{os.strerror(number).lower()} ({name})", _MENDS.get(number, _ELSE)
    return "gRPC refused it", _ELSE
