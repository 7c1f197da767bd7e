"""The stream of daily life: reports up, answers down, orders pushed at any moment.

What is wrong with one report comes back as a notice and the stream goes on. A message that cannot
be parsed, or is too large, ends the stream with INVALID_ARGUMENT.

Three tasks serve a stream: one reads, one writes replies in the order of their messages, one
pushes. None of them is made anew for a message: that alone would cost more than its parsing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc

from flopgate_governor.commit import Committer, Reply
from flopgate_governor.orders.accepting import Accepted, concerned
from flopgate_governor.orders.handed_back import held_in, take_back
from flopgate_governor.receive import Submission
from flopgate_governor.service.greeting import greet, named_in
from flopgate_governor.service.guard import Context, identity_of
from flopgate_governor.service.hub import Hub, Stream
from flopgate_governor.state import State
from flopgate_proto.codec import envelope_to_wire, parse_message
from flopgate_proto.errors import MalformedError, OversizedError, StorageError
from flopgate_proto.limits import REPORTS_PER_MESSAGE_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

IN_FLIGHT_MAX: Final = 8
"""Most messages of one stream that wait for their transaction."""


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
    # gRPC takes one write at a time.
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

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
        host_id = identity_of(self._authority, context).host_id
        line = _Line(context=context, host_id=host_id, stream=Stream(host_id))
        self._hub.join(line.stream)
        reader = asyncio.create_task(self._read(line))
        writer = asyncio.create_task(_write(line))
        pusher = asyncio.create_task(_push(line))
        try:
            # The writer ends once the reader has, unless something failed first.
            await asyncio.wait({writer, pusher}, return_when=asyncio.FIRST_COMPLETED)
            for task in (pusher, writer):
                if task.done():
                    task.result()
            await reader
        except MalformedError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except StorageError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        finally:
            for task in (reader, writer, pusher):
                task.cancel()
            self._hub.leave(line.stream)

    async def _read(self, line: _Line) -> None:
        try:
            # Reading by hand costs less than the iterator; what is no message is the end.
            while isinstance(data := await line.context.read(), bytes):
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
            await self._take_back(up)
        if up.HasField("hello"):
            for down in await self._greet(up.hello, line):
                await line.write(down)
        submission = Submission(reports=tuple(up.reports), host_id=line.host_id)
        await self._committer.submit(submission, len(data), line.replies.put_nowait)
        line.in_flight += 1

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


async def _write(line: _Line) -> None:
    """Replies in the order of their messages."""
    while line.in_flight or not line.read:
        reply = await line.replies.get()
        if reply is None:
            continue
        line.in_flight -= 1
        line.room.release()
        if isinstance(reply, BaseException):
            raise reply
        if reply.batches or reply.notices:
            await line.write(reply)


async def _push(line: _Line) -> None:
    """Orders as soon as they come."""
    while not line.stream.overrun:
        await line.write(await line.stream.pushed.get())
    raise StorageError("this stream reads too slowly", code="link.slow")
