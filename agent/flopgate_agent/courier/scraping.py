"""The port of scrapes: whoever reaches it holds few threads and files, and those for a while.

A courier that ran out of files could not link anew, and its host would come to a stand.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

CONNECTIONS_MAX: Final = 8
"""At once. Who came first makes room for who comes: nobody holds all places."""
SILENCE_S: Final = 10.0
"""As long as Prometheus waits for a scrape unless it is told otherwise."""


def serve_scrapes(listen: tuple[str, int], registry: CollectorRegistry) -> Callable[[], None]:
    """Serve ``/metrics`` there; returns what ends it. ``OSError`` where nobody can listen."""
    host, port = listen
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    kind = _Server if family == socket.AF_INET else _Server6
    server = make_server(host, port, make_wsgi_app(registry), kind, _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._held: dict[Any, None] = {}
        self._changing = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, as long as its connection is among the newest."""
        with self._changing:
            while len(self._held) >= CONNECTIONS_MAX:
                self._held.pop(oldest := next(iter(self._held)))
                _end(oldest)
            self._held[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """It was served, or came to nothing."""
        with self._changing:
            self._held.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that says nothing, or leaves within an answer, is not worth a line."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = SILENCE_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the library
        """A scrape each few seconds fills no log."""


def _end(connection: socket.socket) -> None:
    """Its thread sees the end of it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # its peer was faster
