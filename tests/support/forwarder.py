"""A TCP forwarder on loopback whose wire can be cut: sockets stay open, bytes stop."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress


class Forwarder:
    """Forwards connections to ``target_port`` until ``close``."""

    def __init__(self) -> None:
        self.target_port = 0
        self.cut = threading.Event()
        """While set nothing is forwarded, in either direction, and nobody is told."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Close every connection."""
        self._stop.set()
        self._thread.join()
        for sock in (*self._pairs, self._listener):
            sock.close()
        self._selector.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self.cut.is_set():
                self._stop.wait(0.02)
                continue
            for key, _ in self._selector.select(0.02):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._forward(key.fileobj)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        self.accepted += 1
        try:
            far = socket.create_connection(("127.0.0.1", self.target_port))
        except ConnectionRefusedError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, sock: socket.socket) -> None:
        other = self._pairs.get(sock)
        if other is None:
            return
        data = b""
        with suppress(OSError):
            data = sock.recv(65536)
            other.sendall(data)
        if not data:
            for one in (sock, other):
                self._selector.unregister(one)
                del self._pairs[one]
                one.close()
