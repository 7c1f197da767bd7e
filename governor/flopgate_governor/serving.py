"""From a directory to a running governor."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import logging
import os
import signal
import sys
from typing import Final

import structlog

from flopgate_governor.announcement import (
    Announcement,
    announce,
    local_host,
    only_server,
    reached_as,
    split_address,
)
from flopgate_governor.commit import Committer
from flopgate_governor.desk.output import show
from flopgate_governor.files import Layout
from flopgate_governor.limits import Limits, limits_in
from flopgate_governor.open_files import allow_open_files
from flopgate_governor.pki import server_names
from flopgate_governor.service.keeping_time import keep_time
from flopgate_governor.service.server import listen
from flopgate_governor.wiring import load_authority, load_config, load_state, load_tls

GRACE_S: Final = 2.0
"""How long open streams may finish when the governor stops."""


COLLECTOR_THRESHOLDS: Final = (50_000, 20, 50)


def load_limits(layout: Layout) -> Limits:
    """What one caller may take.

    Raises:
        ConfigError: it stands wrongly in governor.toml.
    """
    return limits_in(load_config(layout), str(layout.config))


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
    _log_as_json()
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


def _log_as_json() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
