"""From a directory to a running governor."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import json
import os
import signal
import time
from pathlib import Path
from typing import Final

import structlog

from flopgate_governor.commit import Committer
from flopgate_governor.files import Layout, read_secret, read_signing_key
from flopgate_governor.output import show
from flopgate_governor.pki import CertificateAuthority, Credential, server_names
from flopgate_governor.service.server import Listening, listen
from flopgate_governor.state import State, open_state
from flopgate_governor.store import open_existing
from flopgate_governor.toml_files import check_keys, policy_text, read_toml
from flopgate_proto.errors import ConfigError

GRACE_S: Final = 2.0
"""How long open streams may finish when the governor stops."""


COLLECTOR_THRESHOLDS: Final = (50_000, 20, 50)


def unix_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def load_authority(layout: Layout) -> str:
    """Name of the authority whose directory this is.

    Raises:
        ConfigError: not a governor's directory.
    """
    document = read_toml(layout.config)
    check_keys(document, ("authority",), str(layout.config))
    name = document.get("authority")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            f"{layout.config}: authority is missing",
            code="config.authority",
            remedy='Write authority = "NAME".',
        )
    return name


def load_tls(layout: Layout) -> CertificateAuthority:
    """The TLS certificate authority.

    Raises:
        ConfigError: its files cannot be used.
    """
    return CertificateAuthority(
        Credential(
            key_pem=read_secret(layout.ca_key), certificate_pem=read_secret(layout.ca_certificate)
        )
    )


def load_state(layout: Layout) -> State:
    """Open store and keys; belongs to the thread that calls it.

    Raises:
        ConfigError: keys or store are missing.
        StorageError: the store cannot be read.
    """
    permit, log = read_signing_key(layout.permit_key), read_signing_key(layout.log_key)
    return open_state(open_existing(layout.store), permit, log, unix_ms)


async def serve(layout: Layout, link_address: str, enroll_address: str) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigError: directory or addresses cannot be used.
        StorageError: the store cannot be read.
    """
    log = structlog.get_logger("serve")
    authority, tls = load_authority(layout), load_tls(layout)
    committer = Committer(lambda: load_state(layout))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        await committer.start()
        _calm_collector()
        hosts = server_names(_host_of(link_address))
        hosts += [name for name in server_names(_host_of(enroll_address)) if name not in hosts]
        listening = await listen(
            committer,
            authority=authority,
            tls=tls,
            credential=tls.server(hosts, dt.datetime.now(dt.UTC)),
            link_address=link_address,
            enroll_address=enroll_address,
        )
        _announce(layout, listening, link_address, enroll_address)
        log.info("serving", link=listening.link_port, enroll=listening.enroll_port)
        await stopping.wait()
        await listening.stop(GRACE_S)
    finally:
        with contextlib.suppress(FileNotFoundError):
            layout.addresses.unlink()
        await committer.close()
    log.info("stopped")


def _calm_collector() -> None:
    # Measured: exchanges leave next to no cycles, yet the collector took a tenth of their time.
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _announce(layout: Layout, listening: Listening, link_address: str, enroll_address: str) -> None:
    addresses = {
        "link": f"{_reachable(link_address)}:{listening.link_port}",
        "enroll": f"{_reachable(enroll_address)}:{listening.enroll_port}",
        "pid": os.getpid(),
    }
    layout.addresses.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and renamed: whoever waits for the file never reads half of it.
    aside = layout.addresses.with_suffix(".new")
    aside.write_text(json.dumps(addresses) + "\n")
    aside.replace(layout.addresses)
    show(json.dumps(addresses))


def read_addresses(layout: Layout) -> tuple[str, str]:
    """Link and enrol addresses of the running server.

    Raises:
        ConfigError: it does not run.
    """
    path: Path = layout.addresses
    try:
        document = json.loads(path.read_text())
        return str(document["link"]), str(document["enroll"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"no running governor announced itself in {path}",
            code="governor.not-running",
            remedy="Start `flopgate-governor serve` first, or name the address.",
        ) from error


def _host_of(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise ConfigError(
            f"no address {address!r}", code="config.address", remedy="Write HOST:PORT."
        )
    return host


def _reachable(address: str) -> str:
    host = _host_of(address)
    return "127.0.0.1" if host in ("", "0.0.0.0", "[::]") else host  # noqa: S104  # not a bind


def load_policy(layout: Layout) -> str:
    """The policy in force, in the words of its form.

    Raises:
        ConfigError: there is none.
    """
    state = load_state(layout)
    state.store.close()
    if state.book.policy is None:
        raise ConfigError(
            "no policy is in force",
            code="policy.missing",
            remedy="Run `flopgate-governor policy apply`.",
        )
    return policy_text(state.book.policy)
