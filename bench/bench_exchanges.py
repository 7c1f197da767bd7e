"""Exchanges of a governor on one core, as a share of the raw P-256 verification rate.

A real governor process, every thread of it on one core; mutual TLS; SQLite with synchronous FULL;
each report carries its request under one signature, and every answer is checked to be a grant. The
load runs on the other core, with whole chains signed before the clock starts. A probe verifies on
the governor's core now and then while the burst runs: that is the raw rate of the same moment.

Two shares are told. By the wall clock: exchanges per second over verifications per second of CPU
time. By CPU time: one verification over what the governor's process spends on one exchange; a
neighbour on the core disturbs it less.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

# Scripts see their own folder only; the shared parts are a package beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.echo_server import METHOD as ECHO
from bench.harness import NS_PER_S, BenchError, cpu_ns, machine, spread, table, two_cores
from bench.hosts import Judge, SpokenHost, enrol
from bench.site import CAPACITY, Site, running_site
from bench.streams import LINK, Bearer, Burst, Streams
from flopgate_proto.keys import SigningKey
from flopgate_proto.v1 import flopgate_pb2 as pb

GOALS = {"single": 0.15, "relay": 0.25}
KINDS = {
    "single": "exchanges, {streams} streams of one host",
    "relay": "exchanges, messages of 64 hosts, {in_flight} in flight",
    "echo": "empty messages, {streams} streams, grpc.aio alone",
}
RELAY_HOSTS = 64
"""Hosts of one message of the relay."""


@dataclass(slots=True)
class Series:
    """Figures of one kind of load over all rounds."""

    name: str
    per_s: list[float] = field(default_factory=list)
    wall_share: list[float] = field(default_factory=list)
    cpu_share: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    load_cpu: list[float] = field(default_factory=list)
    per_commit: list[float] = field(default_factory=list)

    def add(self, burst: Burst, done: int, server_ns: int, load_ns: int, raw_ns: float) -> None:
        """One round: so many exchanges or messages, beside verifications of so much CPU time."""
        self.per_s.append(done / burst.wall_ns * NS_PER_S)
        self.wall_share.append(raw_ns * done / burst.wall_ns)
        self.cpu_us.append(server_ns / done / 1e3)
        self.cpu_share.append(raw_ns * done / server_ns)
        self.p50_ms.append(median(burst.latencies_ns) / 1e6)
        self.load_cpu.append(load_ns / burst.wall_ns)

    def row(self, goal: float | None) -> list[str]:
        """A line of the table."""
        return [
            self.name,
            spread(self.per_s),
            spread(self.wall_share, 3),
            spread(self.cpu_share, 3),
            "" if goal is None else f"{goal:.2f}",
            f"{median(self.cpu_us):,.0f}",
            f"{median(self.p50_ms):,.1f}",
            f"{median(self.load_cpu):.0%}",
            f"{median(self.per_commit):.0f}" if self.per_commit else "",
        ]


class Bench:
    """Everything that is open while the rounds run."""

    def __init__(self, site: Site, arguments: argparse.Namespace) -> None:
        self.site = site
        self.probe = site.start_probe()
        self.arguments = arguments
        self.singles = self._hosts("single", arguments.streams)
        groups = range(arguments.in_flight)
        self.groups = [self._hosts(f"relay{group}", RELAY_HOSTS) for group in groups]
        self.relayed = [host for group in self.groups for host in group]
        self.judge = Judge(site.authority, site.permit_key(), [*self.singles, *self.relayed])
        self.raw_ns: list[float] = []

    def _hosts(self, name: str, count: int) -> list[SpokenHost]:
        return [SpokenHost(f"{name}-{number}", self.site.authority) for number in range(count)]

    async def timed(
        self,
        series: Series,
        streams: Streams,
        messages: list[list[bytes]],
        *,
        per_message: int = 1,
        in_flight: int = 1,
        pid: int,
    ) -> Burst:
        """One burst, with the probe beside it."""
        self.probe.begin()
        server, load = cpu_ns(pid), cpu_ns(os.getpid())
        burst = await streams.burst(messages, in_flight)
        server, load = cpu_ns(pid) - server, cpu_ns(os.getpid()) - load
        self.raw_ns.append(self.probe.end())
        done = sum(map(len, messages)) * per_message
        series.add(burst, done, server, load, self.raw_ns[-1])
        return burst

    def check(self, series: Series, burst: Burst, expected: int) -> None:
        """Every report was granted.

        Raises:
            BenchError: not every one.
        """
        known = set(self.judge.batches)
        taken = sum(
            self.judge.take(pb.LinkDown.FromString(reply))
            for replies in burst.replies
            for reply in replies
        )
        if taken != expected:
            raise BenchError(f"{taken} of {expected} reports were granted")
        self.judge.settle()
        series.per_commit.append(taken / len(self.judge.batches - known))

    def single_messages(self, count: int) -> list[list[bytes]]:
        """The next reports of each single host."""
        return [
            [pb.LinkUp(reports=[host.next_report()]).SerializeToString() for _ in range(count)]
            for host in self.singles
        ]

    def relay_messages(self, count: int) -> list[list[bytes]]:
        """One stream's messages, groups in turn: no host has two reports in flight."""
        return [
            [
                pb.LinkUp(reports=[host.next_report() for host in group]).SerializeToString()
                for _ in range(count)
                for group in self.groups
            ]
        ]


class Rounds:
    """The kinds of load, each a method that runs one round of it."""

    def __init__(self, bench: Bench, opened: Sequence[Streams], echo_pid: int) -> None:
        self._bench = bench
        self._single, self._relay, self._echo = opened
        self._echo_pid = echo_pid
        self._count = bench.arguments.reports
        self._streams = bench.arguments.streams

    async def single(self, series: Series) -> None:
        """Every host sends its next report when its answer has arrived."""
        sent = self._bench.single_messages(self._count)
        burst = await self._bench.timed(series, self._single, sent, pid=self._bench.site.pid)
        self._bench.check(series, burst, self._count * self._streams)

    async def relay(self, series: Series) -> None:
        """A relay keeps some messages of many hosts in flight."""
        in_flight: int = self._bench.arguments.in_flight
        count = -(-self._streams * self._count // (RELAY_HOSTS * in_flight))
        sent = self._bench.relay_messages(count)
        burst = await self._bench.timed(
            series,
            self._relay,
            sent,
            per_message=RELAY_HOSTS,
            in_flight=in_flight,
            pid=self._bench.site.pid,
        )
        self._bench.check(series, burst, len(sent[0]) * RELAY_HOSTS)

    async def echo(self, series: Series) -> None:
        """Empty messages through grpc.aio alone."""
        nothing = [[b""] * self._count] * self._streams
        await self._bench.timed(series, self._echo, nothing, pid=self._echo_pid)


async def measure(bench: Bench, kinds: Sequence[str]) -> dict[str, Series]:
    """All rounds, the kinds of load in turn."""
    arguments, site = bench.arguments, bench.site
    token = site.governor.token(arguments.streams + len(bench.relayed), CAPACITY)
    courier = SigningKey.generate()
    chains = await enrol([*bench.singles, *bench.relayed], token, courier)
    ca_pem = token.tls_ca_pem.encode()
    own = [
        (
            Bearer(ca_pem=ca_pem, key_pem=courier.pem(), chain_pem=chains[host.host_id]),
            [host.host_id],
        )
        for host in bench.singles
    ]
    echo, echo_address = site.start_echo()
    opened = [
        Streams(site.address, own, LINK),
        Streams(site.address, [(site.relay(), [host.host_id for host in bench.relayed])], LINK),
        Streams(echo_address, [(bearer, []) for bearer, _ in own], ECHO),
    ]
    try:
        for streams in opened:
            await streams.open()
        rounds = Rounds(bench, opened, echo.process.pid)
        play = {
            "single": rounds.single,
            "relay": rounds.relay,
            "echo": rounds.echo,
        }
        found = {kind: Series(KINDS[kind].format(**vars(arguments))) for kind in kinds}
        for kind in kinds:
            await play[kind](Series("warm-up"))
        bench.raw_ns.clear()
        for _ in range(arguments.rounds):
            for kind in kinds:
                await play[kind](found[kind])
        return found
    finally:
        for streams in opened:
            await streams.close()
        echo.stop()
        bench.probe.stop()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--streams", type=int, default=64, help="of one host each")
    parser.add_argument("--reports", type=int, default=30, help="of each stream in a round")
    parser.add_argument("--in-flight", type=int, default=4, help="messages of the relay")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    arguments = parser.parse_args()
    print(machine())
    server_core, load_core = two_cores()
    # Before any thread starts: gRPC's threads inherit it.
    os.sched_setaffinity(0, {load_core})
    with running_site(server_core) as site:
        bench = Bench(site, arguments)
        found = asyncio.run(measure(bench, arguments.kinds))
        size = len(bench.singles[0].next_report().SerializeToString())
    raw = spread([raw_ns / 1e3 for raw_ns in bench.raw_ns], 1)
    print(f"raw P-256 verification on the governor's core meanwhile: CPU {raw} us each")
    table(
        f"A signed report of {size} bytes; medians of {arguments.rounds} rounds",
        (
            "",
            "per s",
            "share, wall",
            "share, CPU",
            "goal",
            "CPU us each",
            "p50 ms",
            "load CPU",
            "a commit",
        ),
        [series.row(GOALS.get(kind)) for kind, series in found.items()],
    )


if __name__ == "__main__":
    main()
