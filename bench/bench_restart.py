"""From ``kill -9`` of a governor to its first answer, beside the outage that hosts bear.

The governor is killed in mid-work, with so many reports on record and its write-ahead log as it
was, and started again at once. The clock stops when a relay holds the first answers. Then all that
was in flight is sent again: what was acknowledged must still be on record, with the same answers.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

# Scripts see their own folder only; the shared parts are a package beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import NS_PER_S, BenchError, machine, spread, table
from bench.hosts import Judge, SpokenHost, enrol
from bench.site import CAPACITY, TOLERATED_OUTAGE_MS, Site, running_site
from bench.streams import Bearer, Stream
from flopgate_proto.keys import SigningKey
from flopgate_proto.v1 import flopgate_pb2 as pb

HOSTS = 64
IN_FLIGHT = 4
FILL = 16
"""Messages signed and sent at once while the store is filled."""
CONNECT_S = 60.0


@dataclass(slots=True, kw_only=True)
class Restarts:
    """What was seen at one size of the store."""

    reports: int
    store_mb: float = 0.0
    listening_s: list[float] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)

    def row(self) -> list[str]:
        """A line of the table."""
        worst_s = max(self.answered_s)
        return [
            f"{self.reports:,}",
            f"{self.store_mb:.1f}",
            spread(self.listening_s, 2),
            spread(self.answered_s, 2),
            f"{1000 * worst_s / TOLERATED_OUTAGE_MS:.2%}",
        ]


class Load:
    """One relay with its hosts."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._relay: Bearer = site.relay()
        self.hosts = [SpokenHost(f"host-{n}", site.authority) for n in range(HOSTS)]
        self.judge = Judge(site.authority, site.permit_key(), self.hosts)

    @property
    def on_record(self) -> int:
        """Reports that were acknowledged."""
        return sum(host.answered for host in self.hosts)

    def messages(self, count: int) -> list[bytes]:
        """The next reports of all hosts, so many times."""
        return [
            pb.LinkUp(reports=[host.next_report() for host in self.hosts]).SerializeToString()
            for _ in range(count)
        ]

    async def stream(self) -> Stream:
        """A new connection, greeted."""
        stream = Stream(self._site.address, self._relay, [host.host_id for host in self.hosts])
        await stream.open()
        return stream

    def take(self, replies: list[bytes]) -> int:
        """Check answers; how many."""
        return sum(self.judge.take(pb.LinkDown.FromString(reply)) for reply in replies)

    async def fill(self, reports: int) -> None:
        """Send until so many are on record."""
        stream = await self.stream()
        while self.on_record < reports:
            left = -(-(reports - self.on_record) // HOSTS)
            replies, _ = await stream.burst(self.messages(min(FILL, left)), IN_FLIGHT)
            self.take(replies)
            self.judge.settle()
        await stream.close()


async def restart(site: Site, load: Load, seen: Restarts) -> None:
    """Kill in mid-work, start, wait for the first answers, check what survived."""
    stream = await load.stream()
    messages = load.messages(FILL)
    before = asyncio.create_task(stream.burst_until_cut(messages, IN_FLIGHT))
    async with asyncio.timeout(CONNECT_S):
        await stream.answered.wait()
    site.kill()
    killed_ns = time.perf_counter_ns()
    acknowledged = await before
    await stream.close()
    site.start()
    await _listening(site)
    seen.listening_s.append((time.perf_counter_ns() - killed_ns) / NS_PER_S)
    again = await load.stream()
    first, _ = await again.burst(messages[:1], IN_FLIGHT)
    seen.answered_s.append((time.perf_counter_ns() - killed_ns) / NS_PER_S)
    rest, _ = await again.burst(messages[1:], IN_FLIGHT)
    await again.close()
    replies = [*first, *rest]
    for number, reply in enumerate(acknowledged):
        if _answers(reply) != _answers(replies[number]):
            raise BenchError(f"message {number} was acknowledged and has other answers now")
    if load.take(replies) != HOSTS * len(messages):
        raise BenchError("a report was lost")
    load.judge.settle()


def _answers(reply: bytes) -> set[bytes]:
    down = pb.LinkDown.FromString(reply)
    return {leaf.payload for batch in down.batches for leaf in batch.answers}


async def _listening(site: Site) -> None:
    host, port = site.address.split(":")
    end_s = time.monotonic() + CONNECT_S
    while time.monotonic() < end_s:
        with socket.socket() as sock:
            if sock.connect_ex((host, int(port))) == 0:
                return
        await asyncio.sleep(0.005)
    raise BenchError("the governor did not come back")


async def measure(site: Site, sizes: list[int], rounds: int) -> list[Restarts]:
    """Every size in turn, with more and more on record."""
    load = Load(site)
    await enrol(load.hosts, site.governor.token(HOSTS, CAPACITY), SigningKey.generate())
    found = []
    for size in sizes:
        await load.fill(size)
        seen = Restarts(reports=load.on_record)
        for _ in range(rounds):
            await restart(site, load, seen)
        files = site.layout.root.glob("governor.sqlite*")
        seen.store_mb = sum(path.stat().st_size for path in files) / 10**6
        found.append(seen)
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 20_000])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(machine())
    with running_site() as site:
        found = asyncio.run(measure(site, sorted(arguments.sizes), arguments.rounds))
    table(
        f"Restart of a governor, seconds after kill -9, medians of {arguments.rounds}; hosts bear "
        f"{TOLERATED_OUTAGE_MS / 60_000:.0f} minutes",
        ("reports on record", "store MB", "listening", "first answers", "worst, of what they bear"),
        [seen.row() for seen in found],
    )


if __name__ == "__main__":
    main()
