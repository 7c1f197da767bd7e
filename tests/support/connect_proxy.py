"""An HTTP proxy on loopback that tunnels by CONNECT, and says who asked for what."""

from __future__ import annotations

import http.server
import select
import socket
import threading
from typing import Self


class ConnectProxy:
    """Runs while it is entered. ``asked``: each target, as it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """As it stands in HTTPS_PROXY."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:  # the library's name
                outer.asked.append(self.path)
                host, _, port = self.path.rpartition(":")
                with socket.create_connection((host, int(port)), 10) as far:
                    self.send_response(200)
                    self.end_headers()
                    _tunnel(self.connection, far)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _tunnel(near: socket.socket, far: socket.socket) -> None:
    pairs = {near: far, far: near}
    while True:
        for one in select.select(list(pairs), [], [])[0]:
            try:
                data = one.recv(65536)
                pairs[one].sendall(data)
            except OSError:
                return
            if not data:
                return
