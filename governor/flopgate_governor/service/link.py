"""The stream of daily life: reports up, answers down, orders pushed at any moment.

What is wrong with one report comes back as a notice and the stream goes on. A message that cannot
be parsed, or is too large, ends the stream with INVALID_ARGUMENT.

Three tasks serve a stream: one reads, one writes replies in the order of their messages, one
pushes. None of them is made anew for a message: that alone would cost more than its parsing.

The stream of a host that is held back (`core.allowance`) is not read until its time has come;
orders go down it meanwhile. A relay's is read on: it carries for others too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from flopgate_governor.commit import Committer, Reply
from flopgate_governor.orders.accepting import Accepted, concerned
from flopgate_governor.orders.handed_back import held_in, take_back
from flopgate_governor.receive import Submission
from flopgate_governor.service.greeting import greet, named_in
from flopgate_governor.service.guard import Context, identity_of, key_of
from flopgate_governor.service.hub import Hub, Stream
from flopgate_governor.state import State
from flopgate_proto.codec import envelope_to_wire, parse_message
from flopgate_proto.errors import FlopgateError, MalformedError, OversizedError, StorageError
from flopgate_proto.limits import REPORTS_PER_MESSAGE_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

IN_FLIGHT_MAX: Final = 8
"""Most messages of one stream that wait for their transaction."""

HELD_MS_MAX: Final = 600_000
"""Longest that a stream is not read; its host is told again what it sends too early."""


@dataclass(slots=True, kw_only=True)
class _Line:
    """One stream while it is served."""

    context: Context
    # The one host that the caller speaks for, ``None`` for a relay.
    host_id: bytes | None
    stream: Stream
    # Bounded by ``room``; ``None`` wakes the writer when the last message was read.
    replies: asyncio.Queue[Reply | None] = field(default_factory=asyncio.Queue)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(IN_FLIGHT_MAX))
    in_flight: int = 0
    read: bool = False
    # By the loop's clock: nothing is read before.
    held_until_s: float = 0.0
    # gRPC takes one write at a time.
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read_next(self) -> object:
        """The next message, once the host may say more; what is no message is the end."""
        if self.held_until_s:
            wait_s = self.held_until_s - asyncio.get_running_loop().time()
            self.held_until_s = 0.0
            await asyncio.sleep(wait_s)
        return await self.context.read()

    def hold_back(self, wait_ms: int) -> None:
        """Its host may add nothing for so long."""
        until_s = asyncio.get_running_loop().time() + min(wait_ms, HELD_MS_MAX) / 1000
        self.held_until_s = max(self.held_until_s, until_s)

    async def write(self, down: pb.LinkDown) -> None:
        """Send one message."""
        async with self.writing:
            await self.context.write(down)


class LinkService:
    """Serves ``Link``."""

    def __init__(self, committer: Committer, hub: Hub, authority: str) -> None:
        self._committer = committer
        self._hub = hub
        self._authority = authority

    async def link(self, _messages: AsyncIterator[bytes], context: Context) -> None:
        """Serve one stream; messages arrive as bytes, so that their errors are ours to tell."""
        caller = identity_of(self._authority, context)
        stream = Stream(caller.host_id, caller.text, key_of(context))
        try:
            self._hub.join(stream)
        except StorageError as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        line = _Line(context=context, host_id=caller.host_id, stream=stream)
        reader = asyncio.create_task(self._read(line))
        writer = asyncio.create_task(self._write(line))
        pusher = asyncio.create_task(_push(line))
        try:
            # The writer ends once the reader has, unless something failed first.
            ends: set[asyncio.Future[Any]] = {writer, pusher, stream.gone}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if stream.gone.done():
                raise stream.gone.result()
            for task in (pusher, writer):
                if task.done():
                    task.result()
            await reader
        except MalformedError as error:
            await self._end(line, grpc.StatusCode.INVALID_ARGUMENT, error)
        except StorageError as error:
            await self._end(line, grpc.StatusCode.UNAVAILABLE, error)
        finally:
            for task in (reader, writer, pusher):
                task.cancel()
            self._hub.leave(stream)

    async def _end(self, line: _Line, code: grpc.StatusCode, error: FlopgateError) -> None:
        """Its place is free at once: a peer that reads nothing is not told as long as it lives."""
        self._hub.leave(line.stream)
        self._hub.stuck(line.stream, 1)
        try:
            await line.context.abort(code, str(error))
        finally:
            self._hub.stuck(line.stream, -1)

    async def _read(self, line: _Line) -> None:
        try:
            # Reading by hand costs less than the iterator.
            while isinstance(data := await line.read_next(), bytes):
                await line.room.acquire()
                await self._take(data, line)
        finally:
            line.read = True
            line.replies.put_nowait(None)

    async def _take(self, data: bytes, line: _Line) -> None:
        up = parse_message(pb.LinkUp(), data)
        if len(up.reports) > REPORTS_PER_MESSAGE_MAX:
            raise OversizedError(
                f"{len(up.reports)} reports in one message, at most "
                f"{REPORTS_PER_MESSAGE_MAX} are taken",
                code="link.reports",
            )
        if up.held_orders:
            async with line.stream.asking:
                await self._take_back(up)
        if up.HasField("hello"):
            async with line.stream.asking:
                greeting = await self._greet(up.hello, line)
            for down in greeting:
                await line.write(down)
        submission = Submission(reports=tuple(up.reports), host_id=line.host_id)
        await self._committer.submit(
            submission, len(data), line.replies.put_nowait, line.stream.caller
        )
        line.in_flight += 1

    async def _write(self, line: _Line) -> None:
        """Replies in the order of their messages."""
        while line.in_flight or not line.read:
            reply = await line.replies.get()
            if reply is None:
                continue
            line.in_flight -= 1
            line.room.release()
            if isinstance(reply, BaseException):
                raise reply
            down = reply.down
            if reply.news:
                self._hub.news(line.stream)
            if down.notices and line.host_id is not None:
                line.hold_back(max(one.retry_after_ms for one in down.notices))
            if down.batches or down.notices:
                await line.write(down)

    async def _take_back(self, up: pb.LinkUp) -> None:
        envelopes, linked = held_in(up.held_orders), self._hub.linked

        def work(state: State) -> list[tuple[Accepted, set[bytes] | None]]:
            taken = take_back(state, envelopes)
            return [(one, concerned(state, one.envelope, linked)) for one in taken]

        for accepted, hosts in await self._committer.call(work):
            wire = envelope_to_wire(accepted.envelope)
            self._hub.push(pb.SignedOrder(envelope=wire, log=accepted.proof), hosts)

    async def _greet(self, hello: pb.Hello, line: _Line) -> Sequence[pb.LinkDown]:
        named = named_in(hello, line.host_id)
        # Known to the hub first: an order accepted meanwhile is pushed, so it cannot be missed.
        line.stream.host_ids |= set(named.own)
        greeting = await self._committer.call(lambda state: greet(state, named))
        line.stream.host_ids -= greeting.unknown
        return greeting.messages


async def _push(line: _Line) -> None:
    """Orders as soon as they come."""
    while True:
        await line.write(await line.stream.pushed.get())
