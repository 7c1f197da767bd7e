"""Streams that are open now: who hears of an order at once, and who makes room for whom.

A caller has so many streams at most. A newer one is always let in: of the others that one goes
whose last new report is the oldest, and who brought none goes first. So a stream that carries what
the gate signs is not pushed out by whoever copied the courier's key and cannot sign.

All callers together have so many. Then a stream of the caller with the most goes; who would be that
himself is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final

from flopgate_proto.errors import StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb

PUSHES_MAX: Final = 64
"""Most orders that wait for one slow stream; past that it is closed, and says Hello anew."""

STUCK_MAX: Final = 32
"""Most closed streams of one TLS key whose end its peer does not read: they hold memory until the
connection is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """How many streams may be open: of one caller, and of all together."""

    of_caller: int = 8
    in_all: int = 16_384


class Stream:
    """One open Link: the hosts it serves, and what is pushed to it.

    Args:
        host_id: the one host that the caller speaks for, ``None`` for a relay.
        caller: whose it is, by its certificate.
        key: the TLS key of that certificate.

    Attributes:
        brought: when it last brought a new report, as the hub counts; 0: never.
        gone: done once it has to end; why.
        asking: held while something of this caller runs beside the reports; one thing at a time.
    """

    def __init__(self, host_id: bytes | None, caller: Hashable = "", key: bytes = b"") -> None:
        self.host_ids: set[bytes] = set() if host_id is None else {host_id}
        self.pushed: asyncio.Queue[pb.LinkDown] = asyncio.Queue(PUSHES_MAX)
        self.caller = caller
        self.key = key
        self.brought = 0
        self.asking = asyncio.Lock()
        self.gone: asyncio.Future[StorageError] = asyncio.get_running_loop().create_future()

    def let_go(self, why: StorageError) -> None:
        """It has to end."""
        if not self.gone.done():
            self.gone.set_result(why)


class Hub:
    """All open streams of this process.

    Attributes:
        replaced: streams that made room for others so far.
        refused: streams that found none.
    """

    def __init__(self, limits: StreamLimits | None = None) -> None:
        self.replaced = self.refused = 0
        self._limits = limits or StreamLimits()
        self._of: dict[Hashable, dict[Stream, None]] = {}  # oldest first
        self._open = self._news = 0
        self._stuck: dict[bytes, int] = {}

    def join(self, stream: Stream) -> None:
        """A stream opened.

        Raises:
            StorageError: there is no room for it.
        """
        own = self._of.get(stream.caller, {})
        if self._stuck.get(stream.key, 0) >= STUCK_MAX:
            self.refused += 1
            raise StorageError(
                f"{STUCK_MAX} closed streams of this TLS key are not read to their end",
                code="link.unread",
                remedy="End their connections, or give the courier another key.",
            )
        if len(own) >= self._limits.of_caller:
            self._replace(own)
        elif self._open >= self._limits.in_all:
            most = max(self._of.values(), key=len)
            if len(most) <= len(own) + 1:
                self.refused += 1
                raise StorageError(
                    f"{self._open} streams are open, which is what this governor takes",
                    code="link.full",
                    remedy="Raise streams_max in governor.toml, or let relays carry for hosts.",
                )
            self._replace(most)
        own = self._of.setdefault(stream.caller, {})
        for other in own:
            stream.asking = other.asking
            break
        own[stream] = None
        self._open += 1

    def leave(self, stream: Stream) -> None:
        """A stream closed."""
        own = self._of.get(stream.caller, {})
        if stream in own:
            del own[stream]
            self._open -= 1
            if not own:
                del self._of[stream.caller]

    def stuck(self, stream: Stream, by: int) -> None:
        """So many streams more of this key are closed and not read to their end."""
        left = self._stuck.pop(stream.key, 0) + by
        if left:
            self._stuck[stream.key] = left

    def news(self, stream: Stream) -> None:
        """A stream brought a report that went on record."""
        self._news += 1
        stream.brought = self._news

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._open

    @property
    def linked(self) -> set[bytes]:
        """Hosts with an open stream."""
        return {host_id for stream in self._streams() for host_id in stream.host_ids}

    def push(self, order: pb.SignedOrder, hosts: Iterable[bytes] | None) -> None:
        """Hand an order to every stream of these hosts; ``None`` stands for all."""
        wanted = None if hosts is None else set(hosts)
        message = pb.LinkDown(orders=[order])
        for stream in self._streams():
            if wanted is not None and stream.host_ids.isdisjoint(wanted):
                continue
            try:
                stream.pushed.put_nowait(message)
            except asyncio.QueueFull:
                stream.let_go(StorageError("this stream reads too slowly", code="link.slow"))

    def _streams(self) -> Iterable[Stream]:
        return [stream for own in self._of.values() for stream in own]

    def _replace(self, own: dict[Stream, None]) -> None:
        stream = min(own, key=lambda one: one.brought)
        stream.let_go(
            StorageError("a newer stream takes the place of this one", code="link.replaced")
        )
        self.leave(stream)
        self.replaced += 1
