"""An HTTP server of a test, on loopback in a thread of its own."""

from __future__ import annotations

import http.server
import threading
from typing import Self


class Handler(http.server.BaseHTTPRequestHandler):
    """Says nothing of its requests."""

    def log_message(self, *_: object) -> None:
        """Tests tell what they saw."""


class Served:
    """Runs while it is entered."""

    def __init__(self, handler: type[Handler]) -> None:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()
