"""Load: link streams of hosts and of a relay, over mutual TLS, bytes in and bytes out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from bench.harness import BenchError
from flopgate_agent.courier.channels import link_channel
from flopgate_proto.v1 import flopgate_pb2 as pb

LINK = "/flopgate.v1.GovernorService/Link"
KEEPALIVE_MS = 30_000
CONNECT_S = 20.0
ANSWER_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Who opens a stream: PEM of the authority's CA, of the key, and of the certificate chain."""

    ca_pem: bytes
    key_pem: bytes
    chain_pem: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What came back, in the order of each stream, and how long all of it took.

    Attributes:
        replies: serialized messages of each stream.
        latencies_ns: from sending to the answer, of each message.
    """

    replies: list[list[bytes]]
    wall_ns: int
    latencies_ns: list[int]


class EndedError(BenchError):
    """The server ended a stream."""


class Stream:
    """One open stream of its own connection.

    Attributes:
        replies: of the burst that runs, or ran last.
        answered: set once anything of it was answered.
    """

    def __init__(
        self, address: str, bearer: Bearer, hello: Sequence[bytes], method: str = LINK
    ) -> None:
        self.replies: list[bytes] = []
        self.answered = asyncio.Event()
        self._channel = link_channel(
            address,
            ca_pem=bearer.ca_pem,
            key_pem=bearer.key_pem,
            chain_pem=bearer.chain_pem,
            keepalive_ms=KEEPALIVE_MS,
        )
        greeting = pb.LinkUp(hello=pb.Hello(host_ids=hello)) if hello else pb.LinkUp()
        self._greeting = greeting.SerializeToString()
        # Nothing is parsed while the clock runs: the load must not be what limits.
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] = self._channel.stream_stream(
            method, None, None
        )(None, wait_for_ready=True)

    async def open(self) -> None:
        """Greet (with an empty message where no host is named), and wait for the answer.

        Raises:
            BenchError: no connection, or a host is not known.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._call.write(self._greeting)
                down = pb.LinkDown.FromString(await self._read())
        except (TimeoutError, grpc.aio.AioRpcError) as error:
            raise BenchError(f"no stream: {error}") from error
        if down.notices:
            raise BenchError(f"not greeted: {down.notices[0].reason}")

    async def burst(
        self, messages: Sequence[bytes], in_flight: int
    ) -> tuple[list[bytes], list[int]]:
        """Send messages, so many of them unanswered at most; replies and their latencies."""
        self.replies = []
        sent_ns: list[int] = []
        latencies_ns: list[int] = []

        async def take() -> None:
            self.replies.append(await self._read())
            self.answered.set()
            latencies_ns.append(time.perf_counter_ns() - sent_ns[len(latencies_ns)])

        for message in messages:
            if len(sent_ns) - len(latencies_ns) >= in_flight:
                await take()
            sent_ns.append(time.perf_counter_ns())
            await self._call.write(message)
        while len(latencies_ns) < len(messages):
            await take()
        return self.replies, latencies_ns

    async def burst_until_cut(self, messages: Sequence[bytes], in_flight: int) -> list[bytes]:
        """Send until the connection breaks; the replies that came.

        Raises:
            BenchError: it did not break.
        """
        try:
            await self.burst(messages, in_flight)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, EndedError):
            return self.replies
        raise BenchError("all was answered before the connection broke")

    async def _read(self) -> bytes:
        reply = await self._call.read()
        if not isinstance(reply, bytes):
            raise EndedError(f"the stream ended: {await self._call.details()}")
        return reply

    async def close(self) -> None:
        """End stream and connection."""
        self._call.cancel()
        await self._channel.close(None)


class Streams:
    """Several streams as one load."""

    def __init__(
        self,
        address: str,
        bearers: Sequence[tuple[Bearer, Sequence[bytes]]],
        method: str = LINK,
    ) -> None:
        self._streams = [Stream(address, bearer, hello, method) for bearer, hello in bearers]

    async def open(self) -> None:
        """Open all."""
        await asyncio.gather(*(stream.open() for stream in self._streams))

    async def burst(self, messages: Sequence[Sequence[bytes]], in_flight: int = 1) -> Burst:
        """Send what each stream has; every stream goes on when its own answer arrives."""
        started_ns = time.perf_counter_ns()
        async with asyncio.timeout(ANSWER_S):
            done = await asyncio.gather(
                *(
                    stream.burst(own, in_flight)
                    for stream, own in zip(self._streams, messages, strict=True)
                )
            )
        return Burst(
            replies=[replies for replies, _ in done],
            wall_ns=time.perf_counter_ns() - started_ns,
            latencies_ns=[latency for _, latencies in done for latency in latencies],
        )

    async def close(self) -> None:
        """Close all."""
        await asyncio.gather(*(stream.close() for stream in self._streams))
