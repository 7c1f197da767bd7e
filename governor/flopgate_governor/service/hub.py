"""Streams that are open now: who hears of an order at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from flopgate_proto.v1 import flopgate_pb2 as pb

PUSHES_MAX: Final = 64
"""Most orders that wait for one slow stream; past that it is closed, and says Hello anew."""


class Stream:
    """One open Link: the hosts it serves, and what is pushed to it."""

    def __init__(self, host_id: bytes | None) -> None:
        self.host_ids: set[bytes] = set() if host_id is None else {host_id}
        self.pushed: asyncio.Queue[pb.LinkDown] = asyncio.Queue(PUSHES_MAX)
        self.overrun = False


class Hub:
    """All open streams of this process."""

    def __init__(self) -> None:
        self._streams: set[Stream] = set()

    def join(self, stream: Stream) -> None:
        """A stream opened."""
        self._streams.add(stream)

    def leave(self, stream: Stream) -> None:
        """A stream closed."""
        self._streams.discard(stream)

    @property
    def linked(self) -> set[bytes]:
        """Hosts with an open stream."""
        return {host_id for stream in self._streams for host_id in stream.host_ids}

    def push(self, order: pb.SignedOrder, hosts: Iterable[bytes] | None) -> None:
        """Hand an order to every stream of these hosts; ``None`` stands for all."""
        wanted = None if hosts is None else set(hosts)
        message = pb.LinkDown(orders=[order])
        for stream in self._streams:
            if wanted is not None and stream.host_ids.isdisjoint(wanted):
                continue
            try:
                stream.pushed.put_nowait(message)
            except asyncio.QueueFull:
                stream.overrun = True
