"""The courier's process: configuration, key, one carrier for each authority, signals."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from flopgate_agent.config import AuthorityConfig, CourierConfig, load_authorities, load_courier
from flopgate_agent.courier.carrier import Carrier
from flopgate_agent.courier.identity import Identity
from flopgate_agent.courier.watching import Watcher
from flopgate_agent.logs import log_json


def run(config_path: Path) -> int:
    """Carry until SIGTERM or SIGINT; the exit status.

    Raises:
        ConfigError: configuration, key or authorities cannot be used.
        EnvironmentFault: the state directory cannot be written, or nobody can listen for scrapes.
    """
    config = load_courier(config_path)
    authorities = load_authorities(config.state_dir)
    identity = Identity(config.state_dir)
    log_json()
    # gRPC knows these names in small letters only.
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        if name in os.environ:
            os.environ.setdefault(name.lower(), os.environ[name])
    watcher: Watcher | None = None
    with ExitStack() as stack:
        if config.metrics_listen is not None:
            # Some megabytes, for those who scrape only.
            from flopgate_agent.courier.metrics import HostMetrics, serve  # noqa: PLC0415

            watcher = metrics = HostMetrics(time.monotonic)
            stack.callback(serve(config.metrics_listen, metrics))
        asyncio.run(_carry(config, authorities, identity, watcher))
    return 0


async def _carry(
    config: CourierConfig,
    authorities: tuple[AuthorityConfig, ...],
    identity: Identity,
    watcher: Watcher | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        carriers = [
            group.create_task(Carrier(config, one, identity, random.SystemRandom(), watcher).run())
            for one in authorities
        ]
        await stop.wait()
        for carrier in carriers:
            carrier.cancel()
