"""An HTTP proxy on loopback that tunnels by CONNECT, and says who asked for what."""

from __future__ import annotations

import select
import socket

from tests.support.served import Handler, Served


class ConnectProxy(Served):
    """Runs while it is entered. ``asked``: each target, as it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(self._handler())

    @property
    def url(self) -> str:
        """As it stands in HTTPS_PROXY."""
        return f"http://127.0.0.1:{self.port}"

    def _handler(self) -> type[Handler]:
        outer = self

        class Tunnel(Handler):
            def do_CONNECT(self) -> None:  # noqa: N802  # the library's name
                outer.asked.append(self.path)
                host, _, port = self.path.rpartition(":")
                with socket.create_connection((host, int(port)), 10) as far:
                    self.send_response(200)
                    self.end_headers()
                    _tunnel(self.connection, far)

        return Tunnel


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
