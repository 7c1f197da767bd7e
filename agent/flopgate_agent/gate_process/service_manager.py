"""What the gate tells systemd, and the descriptors that systemd keeps for it (sd_notify(3)).

One datagram a message over the socket that the service manager names. Nothing here blocks, and a
gate that no service manager started says nothing.
"""

from __future__ import annotations

import logging
import os
import socket
from array import array
from collections.abc import Mapping
from typing import Final

FIRST_FD: Final = 3
"""Where passed descriptors begin (sd_listen_fds(3))."""
FDS_MAX: Final = 16
_US_PER_MS: Final = 1000
_LOG: Final = logging.getLogger("flopgate.gate")


class ServiceManager:
    """The notify socket of this process.

    Args:
        environ: with what the service manager set in it.
        pid: of this process; what is meant for another is not taken.

    Attributes:
        there: whether a service manager listens.
        stored: descriptors that were kept for this service, by name; its own from now on.
    """

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.there = bool(address)
        self._alive_each_ms = _watchdog_ms(environ, pid) // 3
        self._alive_at_ms = 0
        self.stored = _passed(environ, pid)

    def ready(self) -> None:
        """It serves from now on."""
        self._say("READY=1")

    def stopping(self) -> None:
        """It ends from now on."""
        self._say("STOPPING=1")

    def alive(self, now_ms: int) -> None:
        """It is not stuck: call it each turn; it is said three times in the watchdog's time."""
        # A clock that was set back must not silence it.
        due = not self._alive_at_ms - self._alive_each_ms <= now_ms < self._alive_at_ms
        if self._alive_each_ms and due and self._say("WATCHDOG=1"):
            self._alive_at_ms = now_ms + self._alive_each_ms

    def keep(self, name: str, fd: int) -> bool:
        """Have a descriptor kept across a restart of this service; whether it was said."""
        return self._say(f"FDSTORE=1\nFDNAME={name}", fd)

    def _say(self, text: str, *fds: int) -> bool:
        if not self._address:
            return False
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                # `socket.send_fds` forgets the address.
                sock.sendmsg([text.encode()], rights, 0, self._address)
        except BlockingIOError:
            return False
        except OSError as error:
            # Without its word the service manager starts it anew: no reason to end before.
            _LOG.warning("cannot tell the service manager %r: %s", text, error.strerror)
            return False
        return True


def _watchdog_ms(environ: Mapping[str, str], pid: int) -> int:
    """Silence after which the service manager kills this process; 0: never."""
    text = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    return int(text) // _US_PER_MS if meant and text.isascii() and text.isdecimal() else 0


def _passed(environ: Mapping[str, str], pid: int) -> dict[str, int]:
    text = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not (text.isascii() and text.isdecimal()):
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    stored: dict[str, int] = {}
    for fd, name in zip(range(FIRST_FD, FIRST_FD + min(int(text), FDS_MAX)), names, strict=False):
        os.set_inheritable(fd, False)
        stored[name] = fd
    return stored
