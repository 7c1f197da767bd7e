"""The port at which a courier is scraped, with peers who mean it ill."""

from __future__ import annotations

import logging
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest

from flopgate_agent.courier.metrics import HostMetrics, serve
from flopgate_agent.courier.scraping import CONNECTIONS_MAX
from flopgate_sim.live.processes import free_ports
from tests.support.waiting import WAIT_S, until

MANY = 40
FILES_OF_OURS = 8
"""The listener, a scrape of ours at both ends, and what the interpreter opens meanwhile."""


@pytest.fixture
def listen() -> Iterator[tuple[str, int]]:
    (port,) = free_ports(1)
    close = serve(("127.0.0.1", port), HostMetrics(lambda: 0.0))
    yield "127.0.0.1", port
    close()


def _scraped(listen: tuple[str, int]) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{listen[1]}/metrics", timeout=WAIT_S) as answer:
        return str(answer.read().decode())


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as many files as there are


def test_peers_that_say_nothing_hold_few_threads_and_no_place(listen: tuple[str, int]) -> None:
    """Each held a thread and a file for good, and a courier without files cannot link anew."""
    threads, files = threading.active_count(), _files()
    peers = [socket.create_connection(listen, WAIT_S) for _ in range(MANY)]
    assert "flopgate_gate_up 0.0" in _scraped(listen)
    until(lambda: threading.active_count() <= threads + CONNECTIONS_MAX, "threads end")
    until(lambda: _files() <= files + MANY + CONNECTIONS_MAX + FILES_OF_OURS, "files are closed")
    for peer in peers:
        peer.close()
    assert "flopgate_gate_up 0.0" in _scraped(listen)


def test_a_peer_that_leaves_is_not_worth_a_line(
    listen: tuple[str, int], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    threads = threading.active_count()
    with caplog.at_level(logging.DEBUG), socket.create_connection(listen, WAIT_S) as peer:
        # Gone with a reset, in the midst of an answer.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.sendall(b"GET /metrics HTTP/1.0\r\n")
    until(lambda: threading.active_count() <= threads, "its thread ends")
    assert not caplog.records
    assert capfd.readouterr().err == ""
