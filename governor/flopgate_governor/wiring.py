"""From a directory to a running governor."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from flopgate_governor.announcement import (
    Announcement,
    announce,
    local_host,
    only_server,
    reached_as,
    split_address,
)
from flopgate_governor.clocks import this_machine
from flopgate_governor.commit import Committer
from flopgate_governor.core.allowance import Allowance
from flopgate_governor.desk.output import show
from flopgate_governor.files import Layout, read_secret, read_signing_key
from flopgate_governor.limits import Limits, limits_in
from flopgate_governor.open_files import allow_open_files
from flopgate_governor.pki import CertificateAuthority, Credential, server_names
from flopgate_governor.service.keeping_time import keep_time
from flopgate_governor.service.server import listen
from flopgate_governor.state import State, open_state
from flopgate_governor.store.database import open_existing
from flopgate_governor.toml_files import check_keys, read_toml
from flopgate_proto.errors import ConfigError
from flopgate_proto.values.orders import Policy

GRACE_S: Final = 2.0
"""How long open streams may finish when the governor stops."""


COLLECTOR_THRESHOLDS: Final = (50_000, 20, 50)


def load_authority(layout: Layout) -> str:
    """Name of the authority whose directory this is.

    Raises:
        ConfigError: not a governor's directory.
    """
    name = _load_config(layout).get("authority")
    if not isinstance(name, str) or not name:
        raise ConfigError(
            f"{layout.config}: authority is missing",
            code="config.authority",
            remedy='Write authority = "NAME".',
        )
    return name


def _load_config(layout: Layout) -> dict[str, Any]:
    document = read_toml(layout.config)
    check_keys(document, ("authority", "limits"), str(layout.config))
    return document


def load_limits(layout: Layout) -> Limits:
    """What one caller may take.

    Raises:
        ConfigError: it stands wrongly in governor.toml.
    """
    return limits_in(_load_config(layout), str(layout.config))


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


def load_state(
    layout: Layout, *, serves: bool = False, allowance: Allowance | None = None
) -> State:
    """Open store and keys; belongs to the thread that calls it. Only the server writes.

    Raises:
        ConfigError: keys or store are missing.
        StorageError: the store cannot be read.
    """
    permit, log = read_signing_key(layout.permit_key), read_signing_key(layout.log_key)
    store = open_existing(layout.store)
    return open_state(store, permit, log, this_machine(), serves=serves, allowance=allowance)


@contextmanager
def opened(layout: Layout) -> Iterator[State]:
    """What stands now, to be read: the store is open for as long as the block lasts.

    Orders that are due are in force here, too, where no running governor wrote it down yet.

    Raises:
        ConfigError, StorageError: as `load_state`.
    """
    state = load_state(layout)
    try:
        due_ms = state.book.orders.due_ms
        if due_ms is not None and due_ms <= state.now_ms():
            state.take_book(state.book.ripe(state.now_ms()))
        yield state
    finally:
        state.store.close()


async def serve(
    layout: Layout, link_address: str, enroll_address: str, advertised: str | None = None
) -> None:
    """Run until SIGTERM or SIGINT.

    Args:
        layout: the governor's directory; it has one server at a time.
        link_address: ``host:port`` of daily life.
        enroll_address: ``host:port`` of first contact.
        advertised: host that join tokens name; where it listens, by default.

    Raises:
        ConfigError: directory or addresses cannot be used, or another server holds the directory.
        StorageError: the store cannot be read.
    """
    (link_host, _), (enroll_host, _) = split_address(link_address), split_address(enroll_address)
    names = (reached_as(link_host, advertised), reached_as(enroll_host, advertised))
    authority, tls, limits = load_authority(layout), load_tls(layout), load_limits(layout)
    log = structlog.get_logger("serve")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with only_server(layout):
        committer = Committer(lambda: load_state(layout, serves=True, allowance=limits.allowance))
        try:
            await committer.start()
            _calm_collector()
            allow_open_files(limits.streams.in_all)
            certified = dict.fromkeys(
                name for host in (link_host, enroll_host, *names) for name in server_names(host)
            )
            listening = await listen(
                committer,
                authority=authority,
                streams=limits.streams,
                tls=tls,
                credential=tls.server(list(certified), dt.datetime.now(dt.UTC)),
                link_address=link_address,
                enroll_address=enroll_address,
            )
            announcement = Announcement(
                link=f"{local_host(link_host)}:{listening.link_port}",
                enroll=f"{local_host(enroll_host)}:{listening.enroll_port}",
                hosts_link=f"{names[0]}:{listening.link_port}",
                hosts_enroll=f"{names[1]}:{listening.enroll_port}",
                pid=os.getpid(),
            )
            show(announce(layout, announcement))
            log.info("serving", link=listening.link_port, enroll=listening.enroll_port)
            keeping = asyncio.create_task(keep_time(committer))
            await stopping.wait()
            keeping.cancel()
            await listening.stop(GRACE_S)
        finally:
            await committer.close()
    log.info("stopped")


def _calm_collector() -> None:
    # Measured: exchanges leave next to no cycles, yet the collector took a tenth of their time.
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def load_policy(layout: Layout) -> Policy | None:
    """The policy in force, ``None`` before the first.

    Raises:
        ConfigError: keys or store are missing.
        StorageError: the store cannot be read.
    """
    with opened(layout) as state:
        return state.book.orders.policy
