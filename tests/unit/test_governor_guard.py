"""How many calls of one caller may be under way at once."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from flopgate_governor.service.authorization import LINK, Role, uri_of
from flopgate_governor.service.guard import CALLS_MAX, SAN, Calls, Guard
from tests.support.governor import AUTHORITY

STATUS = "/flopgate.v1.GovernorService/GetStatus"
WATCH = "/grpc.health.v1.Health/Watch"


class Refused(Exception):
    """What a context's abort raises."""


class Caller:
    """As much of a gRPC context as the guard needs."""

    def __init__(self, role: Role, name: str) -> None:
        self._uri = uri_of(AUTHORITY, role, name).encode()

    def auth_context(self) -> dict[str, list[bytes]]:
        """Whose certificate it has."""
        return {SAN: [self._uri]}

    async def abort(self, code: Any, _detail: str) -> None:
        """End the call."""
        raise Refused(code.name)


async def guarded(calls: Calls, method: str, handler: Any) -> Any:
    """The handler as the server runs it."""

    async def found(_details: object) -> Any:
        return handler

    details: Any = SimpleNamespace(method=method)
    return await Guard(AUTHORITY, calls).intercept_service(found, details)


async def flood(method: str, caller: Caller, other: Caller) -> tuple[list[str], int]:
    """What became of one call too many of one caller, of one of another, and of one afterwards."""
    calls, free = Calls(), asyncio.Event()

    async def behaviour(_request: object, _context: object) -> str:
        await free.wait()
        return "done"

    handler = await guarded(calls, method, grpc.unary_unary_rpc_method_handler(behaviour))
    run = handler.unary_unary
    under_way = [asyncio.ensure_future(run(None, caller)) for _ in range(CALLS_MAX)]
    await asyncio.sleep(0)
    late = [asyncio.ensure_future(run(None, one)) for one in (caller, other)]
    await asyncio.sleep(0)
    free.set()
    done = await asyncio.gather(*under_way, *late, return_exceptions=True)
    done.append(await run(None, caller))
    assert done[:CALLS_MAX] == ["done"] * CALLS_MAX
    return [str(one) for one in done[CALLS_MAX:]], calls.refused


def test_a_caller_has_so_many_calls_under_way_and_keeps_nobody_else_waiting() -> None:
    alice, bob = Caller(Role.OFFICER, "alice"), Caller(Role.OFFICER, "bob")
    told, refused = asyncio.run(flood(STATUS, alice, bob))
    assert (told, refused) == (["RESOURCE_EXHAUSTED", "done", "done"], 1)


def test_streams_of_daily_life_are_counted_elsewhere() -> None:
    one, other = Caller(Role.HOST, "a" * 64), Caller(Role.HOST, "b" * 64)
    assert asyncio.run(flood(LINK, one, other)) == (["done"] * 3, 0)


def test_a_stream_of_replies_counts_until_it_ends() -> None:
    async def run() -> None:
        calls, caller = Calls(), Caller(Role.OFFICER, "alice")

        async def behaviour(_request: object, _context: object) -> AsyncIterator[str]:
            while True:
                yield "still"

        handler = await guarded(calls, WATCH, grpc.unary_stream_rpc_method_handler(behaviour))
        streams = [handler.unary_stream(None, caller) for _ in range(CALLS_MAX + 1)]
        for stream in streams[:CALLS_MAX]:
            assert await anext(stream) == "still"
        with pytest.raises(Refused, match="RESOURCE_EXHAUSTED"):
            await anext(streams[-1])
        await streams[0].aclose()
        assert await anext(handler.unary_stream(None, caller)) == "still"

    asyncio.run(run())
