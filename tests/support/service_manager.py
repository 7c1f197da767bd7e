"""A stand-in for systemd towards one service: its notify socket, and its store of descriptors."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

_TEXT_BYTES_MAX: Final = 4096
_FDS_MAX: Final = 8
# exec keeps the pid, which no caller knows before; descriptors must begin at 3.
_START: Final = 'LISTEN_PID=$$ exec "$@"'


class ServiceManager:
    """Hears what a service says, and keeps what it is given across the service's restarts.

    Args:
        folder: where its socket lies.
        address: of the socket instead, an abstract one.

    Attributes:
        said: every message so far, oldest first.
        watchdog_ms: a service that is silent so long would be killed; 0: never.
        store: kept descriptors by name.
    """

    def __init__(self, folder: Path, address: str = "") -> None:
        self.said: list[str] = []
        self.watchdog_ms = 0
        self.store: dict[str, int] = {}
        self._address = address or str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._address)
        self._thread = threading.Thread(target=self._hear)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._address)
        self._thread.join()
        self._socket.close()
        for fd in self.store.values():
            os.close(fd)

    def env(self, **fields: str) -> dict[str, str]:
        """What a service finds in its environment, beside its LISTEN_PID."""
        listed = {"LISTEN_FDS": str(len(self.store)), "LISTEN_FDNAMES": ":".join(self.store)}
        address = self._address.replace("\0", "@")
        watchdog = {"WATCHDOG_USEC": str(self.watchdog_ms * 1000)}
        return {
            "NOTIFY_SOCKET": address,
            **(listed if self.store else {}),
            **(watchdog if self.watchdog_ms else {}),
            **fields,
        }

    def command(self, command: Sequence[str]) -> list[str]:
        """The command with the kept descriptors as 3, 4, ...; start it with ``pass_fds``."""
        if not self.store:
            return list(command)
        # Two steps, for a number that is wanted may be one that is passed.
        far = [f"{100 + n}<&{fd}" for n, fd in enumerate(self.store.values())]
        near = [f"{3 + n}<&{100 + n} {100 + n}<&-" for n in range(len(self.store))]
        program = f"exec {' '.join(far)}; exec {' '.join(near)}; {_START}"
        return ["bash", "-c", program, "bash", *command]

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """For `subprocess.Popen`."""
        return tuple(self.store.values())

    def _hear(self) -> None:
        while True:
            text, fds, _flags, _address = socket.recv_fds(self._socket, _TEXT_BYTES_MAX, _FDS_MAX)
            if not text:
                return
            fields = dict(line.split("=", 1) for line in text.decode().splitlines())
            name = fields.get("FDNAME", "stored")
            if "FDSTORE" in fields:
                for fd in fds:
                    self._keep(name, fd)
            self.said.append(text.decode())

    def _keep(self, name: str, fd: int) -> None:
        known = self.store.get(name)
        if known is not None and os.path.sameopenfile(known, fd):
            os.close(fd)
            return
        self._drop(name)
        self.store[name] = fd

    def _drop(self, name: str) -> None:
        with suppress(KeyError):
            os.close(self.store.pop(name))
