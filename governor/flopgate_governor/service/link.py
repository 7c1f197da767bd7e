"""The stream of daily life: reports up, answers down, orders pushed at any moment.

What is wrong with one report comes back as a notice and the stream goes on. A message that cannot
be parsed, or is too large, ends the stream with INVALID_ARGUMENT.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import grpc

from flopgate_governor.commit import Committer
from flopgate_governor.officer_orders import orders_for
from flopgate_governor.receive import Submission
from flopgate_governor.service.authorization import Identity
from flopgate_governor.service.guard import Context, identity_of
from flopgate_governor.service.hub import Hub, Stream
from flopgate_governor.state import State
from flopgate_proto.codec import parse_message
from flopgate_proto.errors import MalformedError, OversizedError, StorageError
from flopgate_proto.limits import REPORTS_PER_MESSAGE_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

IN_FLIGHT_MAX: Final = 8
"""Most messages of one stream that wait for their transaction."""

Replies = asyncio.Queue["asyncio.Task[pb.LinkDown] | None"]


class LinkService:
    """Serves ``Link``."""

    def __init__(self, committer: Committer, hub: Hub, authority: str) -> None:
        self._committer = committer
        self._hub = hub
        self._authority = authority

    async def link(
        self, messages: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[pb.LinkDown]:
        """Serve one stream; messages arrive as bytes, so that their errors are ours to tell."""
        identity = identity_of(self._authority, context)
        stream = Stream(identity.host_id)
        self._hub.join(stream)
        replies: Replies = asyncio.Queue(IN_FLIGHT_MAX)
        reader = asyncio.create_task(self._read(messages, identity, stream, replies))
        try:
            async for reply in _merged(replies, stream):
                yield reply
            await reader
        except MalformedError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except StorageError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        finally:
            reader.cancel()
            self._hub.leave(stream)

    async def _read(
        self,
        messages: AsyncIterator[bytes],
        identity: Identity,
        stream: Stream,
        replies: Replies,
    ) -> None:
        try:
            async for data in messages:
                up = parse_message(pb.LinkUp(), data)
                if len(up.reports) > REPORTS_PER_MESSAGE_MAX:
                    raise OversizedError(
                        f"{len(up.reports)} reports in one message, at most "
                        f"{REPORTS_PER_MESSAGE_MAX} are taken",
                        code="link.reports",
                    )
                await replies.put(
                    asyncio.create_task(self._handle(up, len(data), identity, stream))
                )
        finally:
            await replies.put(None)

    async def _handle(
        self, up: pb.LinkUp, size_bytes: int, identity: Identity, stream: Stream
    ) -> pb.LinkDown:
        down = pb.LinkDown()
        if up.HasField("hello"):
            down.MergeFrom(await self._greet(up.hello, identity, stream))
        if up.reports:
            submission = Submission(
                envelopes=tuple(signed.envelope for signed in up.reports),
                host_id=identity.host_id,
            )
            down.MergeFrom(await self._committer.submit(submission, size_bytes))
        return down

    async def _greet(self, hello: pb.Hello, identity: Identity, stream: Stream) -> pb.LinkDown:
        own = identity.host_id
        named = [host_id for host_id in hello.host_ids if own in (None, host_id)]
        refused = [host_id for host_id in hello.host_ids if own not in (None, host_id)]

        def orders(state: State) -> tuple[set[bytes], list[pb.SignedOrder]]:
            state.know(named)
            hosts = [state.hosts[h].host for h in named if h in state.hosts]
            return {host.host_id for host in hosts}, orders_for(state, hosts)

        known, signed = await self._committer.call(orders)
        stream.host_ids |= known
        unknown = [host_id for host_id in named if host_id not in known]
        return pb.LinkDown(
            orders=signed,
            notices=[
                *(pb.Notice(host_id=h, reason="link.certificate") for h in refused),
                *(pb.Notice(host_id=h, reason="host.unknown") for h in unknown),
            ],
        )


async def _merged(replies: Replies, stream: Stream) -> AsyncIterator[pb.LinkDown]:
    """Replies in the order of their messages, and pushes as soon as they come."""
    pushed = asyncio.create_task(stream.pushed.get())
    overrun = asyncio.create_task(stream.overrun.wait())
    reply: asyncio.Task[pb.LinkDown] | None = None
    upcoming = asyncio.create_task(replies.get())
    try:
        while True:
            waits: set[asyncio.Task[object]] = {pushed, overrun, reply or upcoming}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if pushed.done():
                yield pushed.result()
                pushed = asyncio.create_task(stream.pushed.get())
            if overrun.done():
                raise StorageError("this stream reads too slowly", code="link.slow")
            if reply is None and upcoming.done():
                reply = upcoming.result()
                if reply is None:
                    return
                upcoming = asyncio.create_task(replies.get())
            if reply is not None and reply.done():
                yield reply.result()
                reply = None
    finally:
        for task in (pushed, overrun, upcoming, reply):
            if task is not None:
                task.cancel()
