"""Which streams may be open, and who makes room for whom."""

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import pytest

from flopgate_governor.service.hub import PUSHES_MAX, STUCK_MAX, Hub, Stream, StreamLimits
from flopgate_proto.errors import StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb

P = ParamSpec("P")
HOST = bytes(32)


def in_a_loop(test: Callable[P, None]) -> Callable[P, None]:
    """Streams belong to a running loop."""

    @wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        async def whole() -> None:
            test(*arguments, **named)

        asyncio.run(whole())

    return run


def gone(stream: Stream) -> str:
    return stream.gone.result().code if stream.gone.done() else ""


def joined(hub: Hub, caller: str, count: int, key: bytes = b"key") -> list[Stream]:
    streams = [Stream(HOST, caller, key) for _ in range(count)]
    for stream in streams:
        hub.join(stream)
    return streams


@in_a_loop
def test_a_newer_stream_is_let_in_and_the_oldest_that_brought_nothing_goes() -> None:
    hub = Hub(StreamLimits(of_caller=3))
    first, second, third = joined(hub, "host/a", 3)
    hub.news(first)
    joined(hub, "host/a", 1)
    assert [gone(one) for one in (first, second, third)] == ["", "link.replaced", ""]
    hub.leave(second)  # as its handler does when it ends
    assert (hub.open, hub.replaced) == (3, 1)


@in_a_loop
def test_a_copied_certificate_does_not_push_out_who_brings_reports() -> None:
    """Copies come as often as they like; the host speaks now and then, as hosts do."""
    hub = Hub(StreamLimits(of_caller=8))
    (honest,) = joined(hub, "host/a", 1)
    for _ in range(50):
        hub.news(honest)
        joined(hub, "host/a", 40)
    assert not gone(honest)
    assert hub.open == 8


@in_a_loop
def test_of_those_that_brought_something_the_one_whose_news_are_oldest_goes() -> None:
    hub = Hub(StreamLimits(of_caller=2))
    first, second = joined(hub, "host/a", 2)
    for stream in (second, first):
        hub.news(stream)
    joined(hub, "host/a", 1)
    assert [gone(first), gone(second)] == ["", "link.replaced"]


@in_a_loop
def test_where_all_is_full_who_has_most_gives_way() -> None:
    hub = Hub(StreamLimits(of_caller=8, in_all=10))
    greedy, modest = joined(hub, "host/a", 8), joined(hub, "host/b", 2)
    joined(hub, "host/c", 1)
    assert [gone(one) for one in greedy[:2]] == ["link.replaced", ""]
    assert not any(gone(one) for one in modest)
    hub.leave(modest[0])
    joined(hub, "host/b", 1)
    assert hub.open == 10


@in_a_loop
def test_where_everybody_has_one_the_next_is_refused() -> None:
    hub = Hub(StreamLimits(of_caller=8, in_all=16))
    for number in range(16):
        joined(hub, f"host/{number}", 1)
    for caller in ("host/16", "host/0"):
        with pytest.raises(StorageError, match=r"link\.full"):
            joined(hub, caller, 1)
    assert (hub.open, hub.refused) == (16, 2)


@in_a_loop
def test_streams_that_nobody_reads_to_their_end_are_bounded_for_each_key() -> None:
    hub = Hub()
    (stream,) = joined(hub, "host/a", 1)
    for _ in range(STUCK_MAX):
        hub.stuck(stream, 1)
    with pytest.raises(StorageError, match=r"link\.unread"):
        joined(hub, "host/a", 1)
    joined(hub, "host/a", 1, b"another key")
    hub.stuck(stream, -1)
    joined(hub, "host/a", 1)


@in_a_loop
def test_a_stream_that_does_not_read_is_let_go_and_others_hear() -> None:
    hub = Hub()
    slow, other = joined(hub, "host/a", 1)[0], joined(hub, "host/b", 1)[0]
    for _ in range(PUSHES_MAX + 1):
        hub.push(pb.SignedOrder(), None)
        other.pushed.get_nowait()
    assert [gone(slow), gone(other)] == ["link.slow", ""]


@in_a_loop
def test_what_runs_beside_the_reports_is_one_thing_of_each_caller() -> None:
    hub = Hub()
    first, second = joined(hub, "host/a", 2)
    (other,) = joined(hub, "host/b", 1)
    assert first.asking is second.asking
    assert first.asking is not other.asking
