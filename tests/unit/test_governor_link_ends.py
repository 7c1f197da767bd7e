"""The end of a stream that its peer does not read: its place is free, and few are left behind."""

import asyncio
from typing import Any

import pytest

from flopgate_governor.service.authorization import Role, uri_of
from flopgate_governor.service.guard import SAN
from flopgate_governor.service.hub import STUCK_MAX, Hub, StreamLimits
from flopgate_governor.service.link import LinkService
from tests.support.governor import AUTHORITY

PLACES = 2


class EndedError(Exception):
    """What a context's abort raises, once the peer took it."""


class Peer:
    """A gRPC context of a courier that says this, and reads the end only when it is let."""

    def __init__(self, *messages: bytes) -> None:
        self.told = ""
        self._messages = list(messages)
        self.reads = asyncio.Event()

    def auth_context(self) -> dict[str, list[bytes]]:
        """The same certificate each time."""
        return {SAN: [uri_of(AUTHORITY, Role.HOST, "a" * 64).encode()]}

    async def read(self) -> bytes:
        """What it says; then nothing ever comes."""
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop()

    async def abort(self, _code: Any, detail: str) -> None:
        """End the stream: this waits for the peer, as gRPC does."""
        self.told = detail
        await self.reads.wait()
        raise EndedError


async def settled() -> None:
    """Whatever can go on now has."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_streams_whose_end_is_not_read_hold_no_place_and_are_bounded() -> None:
    async def run() -> None:
        committer: Any = None  # nobody says anything
        hub = Hub(StreamLimits(of_caller=PLACES))
        service = LinkService(committer, hub, AUTHORITY)
        calls: list[asyncio.Task[None]] = []

        async def connect() -> Peer:
            peer: Any = Peer()
            messages: Any = None
            calls.append(asyncio.create_task(service.link(messages, peer)))
            await settled()
            return peer  # type: ignore[no-any-return]

        peers = [await connect() for _ in range(PLACES + STUCK_MAX)]
        replaced = peers[:STUCK_MAX]
        assert all(peer.told.startswith("link.replaced") for peer in replaced)
        assert not any(peer.told for peer in peers[STUCK_MAX:])
        assert (hub.open, hub.replaced) == (PLACES, STUCK_MAX)
        late = await connect()
        assert late.told.startswith("link.unread")
        replaced[0].reads.set()
        await settled()
        assert not (await connect()).told
        assert hub.open == PLACES
        late.reads.set()
        for call in calls:
            call.cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(one) for one in done} == {asyncio.CancelledError, EndedError}
        assert hub.open == 0

    asyncio.run(asyncio.wait_for(run(), 20))


def test_what_ends_by_its_own_message_holds_no_place_either() -> None:
    async def run() -> None:
        committer: Any = None
        hub = Hub()
        peer: Any = Peer(b"no message")
        messages: Any = None
        call = asyncio.create_task(LinkService(committer, hub, AUTHORITY).link(messages, peer))
        await settled()
        assert (bool(peer.told), call.done(), hub.open) == (True, False, 0)
        peer.reads.set()
        with pytest.raises(EndedError):
            await call

    asyncio.run(asyncio.wait_for(run(), 20))


def test_who_reads_the_end_leaves_nothing() -> None:
    async def run() -> None:
        committer: Any = None
        hub = Hub(StreamLimits(of_caller=1))
        service = LinkService(committer, hub, AUTHORITY)
        calls: list[asyncio.Task[None]] = []
        for _ in range(2 * STUCK_MAX):
            peer: Any = Peer()
            peer.reads.set()
            messages: Any = None
            calls.append(asyncio.create_task(service.link(messages, peer)))
            await settled()
            assert not peer.told
        with pytest.raises(EndedError):
            await calls[0]
        calls[-1].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert hub.open == 0

    asyncio.run(asyncio.wait_for(run(), 20))
