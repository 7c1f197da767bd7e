"""What breaks around a courier, and the courier itself: every report arrives all the same."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flopgate_agent.door import encode_frame
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.courier_site import Site, rss_kib
from tests.support.fake_gate import HOST_ID
from tests.support.forwarder import Forwarder
from tests.support.waiting import WAIT_S, until

SECOND_ANSWER_MS = 1000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def _distinct(received: list[int]) -> list[int]:
    """Sequences without repetitions: after a fault some come twice, none may be missing."""
    return sorted(set(received))


def _more(received: list[int], count: int) -> Callable[[], bool]:
    """Whether ``count`` more have come than now."""
    reached = len(received) + count
    return lambda: len(received) >= reached


def test_authority_restarted_in_mid_stream(site: Site) -> None:
    home = site.open_authority("home")
    site.start_courier()
    site.gate.measure(5)
    until(site.acknowledged("home", 5), "linked")
    stop = threading.Event()

    def measure() -> None:
        while not stop.wait(0.005):
            site.gate.measure()

    worker = threading.Thread(target=measure)
    worker.start()
    try:
        for _ in range(3):
            until(_more(home.life.received, 20), "reports flow")
            home = site.restart_authority("home")
    finally:
        stop.set()
        worker.join()
    count = len(site.gate.reports)
    until(site.acknowledged("home", count), "every report is acknowledged")
    assert _distinct(home.life.received) == list(range(1, count + 1))


def test_authority_that_hangs_is_left_and_tried_again(tmp_path: Path) -> None:
    with ExitStack() as stack:
        site = Site(tmp_path, stack, answer_timeout_ms=SECOND_ANSWER_MS)
        home = site.open_authority("home")
        home.hang.set()
        site.gate.measure(3)
        site.start_courier()
        until(lambda: "courier.authority.silent" in site.logged(), "silence is noticed")
        home.hang.clear()
        until(site.acknowledged("home", 3), "all arrive")


def test_courier_killed_and_restarted(site: Site) -> None:
    home = site.open_authority("home")
    for round_ in range(1, 4):
        courier = site.start_courier()
        site.gate.measure(50)
        until(_more(home.life.received, 1), "reports flow")
        courier.kill()
        assert courier.wait(WAIT_S) == -signal.SIGKILL
        site.gate.measure(10)
        assert len(site.gate.reports) == round_ * 60
    site.start_courier()
    until(site.acknowledged("home", 180), "every report is acknowledged")
    assert _distinct(home.life.received) == list(range(1, 181))
    assert len({hello.courier_spki for hello in site.gate.hellos}) == 1


def test_gate_restarted(site: Site) -> None:
    home = site.open_authority("home")
    site.start_courier()
    site.gate.measure(5)
    until(site.acknowledged("home", 5), "linked")
    site.restart_gate()
    site.gate.measure(5)
    until(site.acknowledged("home", 10), "carries on with the new gate")
    assert _distinct(home.life.received) == list(range(1, 11))


def test_cut_network_is_noticed_while_nothing_is_sent(tmp_path: Path) -> None:
    with ExitStack() as stack:
        site = Site(tmp_path, stack, keepalive_ms=1_000)
        wire = Forwarder()
        stack.callback(wire.close)
        home = site.open_authority("home", through_port=wire.port)
        wire.target_port = home.link_port
        site.start_courier()
        site.gate.measure()
        until(site.acknowledged("home", 1), "linked")
        lost = "courier.authority.unreachable"
        accepted, losses = wire.accepted, site.logged().count(lost)
        wire.cut.set()
        # Two seconds by keepalive; a minute and more by gRPC's and the kernel's own timeouts.
        until(lambda: site.logged().count(lost) > losses, "pings go unanswered", wait_s=40)
        site.gate.measure(2)
        wire.cut.clear()
        until(site.acknowledged("home", 3), "linked again")
        assert wire.accepted > accepted


def test_backpressure_bounds_memory_and_loses_nothing(site: Site) -> None:
    home = site.open_authority("home")
    courier = site.start_courier()
    site.gate.measure()
    until(site.acknowledged("home", 1), "linked")
    before_kib = rss_kib(courier.pid)
    home.hang.set()
    padding_bytes = 200_000
    for _ in range(200):  # 40 MB: the gate's buffer holds 8 MiB, the courier's queue 64 KiB
        site.gate.measure(padding_bytes=padding_bytes)
    until(lambda: site.gate.dropped > 0, "the gate's buffer is full")
    assert rss_kib(courier.pid) - before_kib < 24 * 1024
    home.hang.clear()
    until(site.acknowledged("home", 201), "every report is acknowledged")
    assert _distinct(home.life.received) == list(range(1, 202))


@pytest.mark.parametrize(
    ("nonsense", "code"),
    [
        (b"\xff\xff\xff\xff", "door.frame.oversized"),
        (b"\x00\x00\x00\x00", "door.message.unknown"),
        (b"\x00\x00\x00\x01\xff", "message.malformed"),
    ],
    ids=["oversized", "unknown", "malformed"],
)
def test_nonsense_from_the_gate_ends_the_connection(
    tmp_path: Path, nonsense: bytes, code: str
) -> None:
    with ExitStack() as stack:
        site = Site(tmp_path, stack)
        site.gate.close()
        site.open_authority("home")
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(site.door))
        listener.listen()
        listener.settimeout(WAIT_S)
        site.start_courier()
        first = stack.enter_context(listener.accept()[0])
        first.settimeout(WAIT_S)
        first.sendall(encode_frame(pb.FromGate(snapshot=pb.Snapshot(host_id=HOST_ID))) + nonsense)
        while first.recv(4096):
            pass  # what the courier said before it left
        stack.enter_context(listener.accept()[0])  # it comes back
        assert site.logged().count(f'"code": "{code}"') == 1
