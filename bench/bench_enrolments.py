"""Enrolments per second of a real governor: each host with keys and a connection of its own.

A real governor process, SQLite with synchronous FULL; every enrolment is written, logged and
answered with an admission and a certificate. A governor that is busy says so, and the host asks
again as a courier would. What a host needs before (Python, driver, login) is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

# Scripts see their own folder only; the shared parts are a package beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import BenchError, machine, spread, table
from bench.hosts import CHIPS, SpokenHost, enrol
from bench.site import CAPACITY, Site, running_site
from flopgate_agent.courier.backoff import Backoff
from flopgate_proto.joining import JoinToken
from flopgate_proto.keys import SigningKey

AT_A_TIME = 20
"""As docs/operators.md has them join."""
BACKOFF_MS_MAX = 10_000
"""Of courier.toml, by default."""


async def join_all(hosts: Sequence[SpokenHost], token: JoinToken) -> list[float]:
    """Seconds of each enrolment, with so many at a time."""
    gate, took = asyncio.Semaphore(AT_A_TIME), []

    async def join(host: SpokenHost) -> None:
        async with gate:
            started = time.monotonic()
            backoff = Backoff(BACKOFF_MS_MAX, random.Random())  # noqa: S311 - jitter
            while not await _asked(host, token):  # noqa: ASYNC110 - as a courier asks
                await asyncio.sleep(backoff.next_ms() / 1000)
            took.append(time.monotonic() - started)

    await asyncio.gather(*map(join, hosts))
    return took


async def _asked(host: SpokenHost, token: JoinToken) -> bool:
    """Whether it was admitted; not where the governor is busy."""
    try:
        await enrol([host], token, SigningKey.generate())
    except BenchError as error:
        if "registration.busy" not in str(error):
            raise
        return False
    return True


def measure(site: Site, count: int, first: int) -> tuple[float, float]:
    """Enrolments per second, and the median of what one took, in milliseconds."""
    hosts = [SpokenHost(f"node-{first + number}", site.authority) for number in range(count)]
    token = site.governor.token(count, CAPACITY)
    started = time.monotonic()
    took = asyncio.run(join_all(hosts, token))
    return count / (time.monotonic() - started), median(took) * 1000


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    with running_site() as site:
        found = [
            measure(site, arguments.hosts, number * arguments.hosts)
            for number in range(arguments.rounds)
        ]
    table(
        f"Enrolment of {arguments.hosts} hosts of {CHIPS} chips, {AT_A_TIME} at a time",
        ("enrolments per s", "one, ms"),
        [(spread([one[0] for one in found]), spread([one[1] for one in found]))],
    )


if __name__ == "__main__":
    main()
