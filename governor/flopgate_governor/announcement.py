"""Where the running governor listens, and the lock that keeps it the only one of its directory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from flopgate_governor.files import Layout, replace_secret, unwritable
from flopgate_proto.errors import ConfigError

PORT_MAX: Final = 65_535
_EVERYWHERE: Final = frozenset({"", "0.0.0.0", "[::]", "::"})  # noqa: S104  # not a bind


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a running governor tells the command line beside it; every address is ``host:port``.

    Attributes:
        link, enroll: for commands on this machine.
        hosts_link, hosts_enroll: for hosts: join tokens carry these.
        pid: the server's process.
    """

    link: str
    enroll: str
    hosts_link: str
    hosts_enroll: str
    pid: int


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``.

    Raises:
        ConfigError: it is no address.
    """
    host, colon, port = address.rpartition(":")
    # Digits of other scripts and ports above 65535 would be taken, and mean another port.
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > PORT_MAX:
        raise ConfigError(
            f"no address {address!r}",
            code="config.address",
            remedy=f"Write HOST:PORT with a port from 0 to {PORT_MAX}; port 0 takes a free one.",
        )
    return host, int(port)


def reached_as(listen_host: str, advertised: str | None) -> str:
    """The host that join tokens name.

    Raises:
        ConfigError: it listens everywhere, and nothing says under which name it is reached.
    """
    if advertised is not None:
        if not advertised or (":" in advertised.strip("[]") and not advertised.startswith("[")):
            raise ConfigError(
                f"no host {advertised!r}",
                code="config.advertise",
                remedy="Write a name or an address without a port; IPv6 in brackets.",
            )
        return advertised
    if listen_host in _EVERYWHERE:
        raise ConfigError(
            f"hosts cannot reach {listen_host or 'an empty host'}, and join tokens carry the "
            "address that they shall call",
            code="config.advertise",
            remedy="Add --advertise with the name or address under which hosts reach this machine.",
        )
    return listen_host


def local_host(listen_host: str) -> str:
    """Under which host the command line on this machine reaches the server."""
    return "127.0.0.1" if listen_host in _EVERYWHERE else listen_host


@contextmanager
def only_server(layout: Layout) -> Iterator[None]:
    """Hold the directory: two servers would each keep a log and books of their own (law 4).

    Raises:
        ConfigError: another server holds it, or nothing can be written there.
    """
    path = layout.addresses.with_name("lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        # The kernel drops it with the process, however that ends: no stale lock is ever left.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigError(
            f"another governor serves {layout.root}",
            code="governor.running",
            remedy="Stop it first; a directory has one server at a time.",
        ) from error
    try:
        yield
    finally:
        # One that stays misleads nobody for long: at that address nothing answers.
        with contextlib.suppress(OSError):
            layout.addresses.unlink()
        os.close(descriptor)


def announce(layout: Layout, announcement: Announcement) -> str:
    """Write the file that ``read_announcement`` reads, as a whole; its text.

    Raises:
        ConfigError: it cannot be written.
    """
    text = json.dumps(asdict(announcement))
    replace_secret(layout.addresses, f"{text}\n".encode())
    return text


def read_announcement(layout: Layout) -> Announcement:
    """What the running server announced.

    Raises:
        ConfigError: none did, the file is of another version, or not for this user.
    """
    try:
        return Announcement(**json.loads(layout.addresses.read_text()))
    except PermissionError as error:
        raise ConfigError(
            f"cannot read {layout.addresses}: {error.strerror}",
            code="governor.unreadable",
            remedy="Be the user to whom the governor's directory belongs.",
        ) from error
    except (OSError, ValueError, TypeError) as error:
        serve = f"Start `flopgate-governor serve --dir {layout.root}` first."
        if not layout.config.exists():
            serve = f"There is no {layout.config}: name a directory that `init` made, and serve it."
        raise ConfigError(
            f"no running governor announced itself in {layout.addresses}",
            code="governor.not-running",
            remedy=serve,
        ) from error
