"""The gate's side of its door: a Unix socket for the gate's own selectors loop.

Never blocks: a client that does not read loses frames (`send` says so) and asks for them again.
Who may connect is decided by the kernel's word on the peer's uid, beside the socket's mode.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import stat
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from flopgate_agent.door import (
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    FrameDecoder,
    encode_frame,
    parse_to_gate,
)
from flopgate_agent.enforcement.processes import ProcessId, ProcFs
from flopgate_agent.gate_process.peers import living_peer
from flopgate_proto.errors import ConfigError, EnvironmentFault, MisuseError, PeerError
from flopgate_proto.limits import FINDINGS_MAX, MESSAGE_BYTES_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import Finding, Severity

CLIENTS_MAX: Final = 8
BUFFER_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX
SOCKET_MODE: Final = 0o660
OPEN_MODE: Final = 0o666
OPEN_BYTES_MAX: Final = 4096
"""Longest message at a door for everybody: nobody may fill the gate's memory."""
_READ_BYTES: Final = 65536
_OPEN_READ_BYTES: Final = LENGTH_BYTES + OPEN_BYTES_MAX
_BACKLOG: Final = 8
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))
_LOG: Final = logging.getLogger("flopgate.door")


class _Client:
    """One connected courier."""

    __slots__ = ("decoder", "dropped", "id", "out", "process", "sock", "uid")

    def __init__(
        self,
        client_id: int,
        sock: socket.socket,
        uid: int,
        process: ProcessId | None,
        bytes_max: int,
    ) -> None:
        self.id = client_id
        self.process = process
        self.uid = uid
        self.sock = sock
        self.decoder = FrameDecoder(bytes_max)
        self.out = bytearray()
        self.dropped = 0


class GateDoor:
    """Listens on ``path`` and moves frames.

    In the selector every key of the door has the door itself as ``key.data``.

    Args:
        path: of the socket; one that a dead gate left behind is replaced.
        allowed_uids: whose processes may connect.
        owner_uids: whose may, too, and do more than carry: who could do to the gate as it likes.
        anyone: whether everybody on the host may connect. Then messages are short and one is taken
            at a time, and who came first makes room for who comes when all places are taken: nobody
            can hold them all.
        gid: group of the socket file; None leaves the gate's own.
        proc: procfs of this host.
        clients_max: connections at a time; further ones are closed at once.
        buffer_bytes_max: unsent bytes held for one client, at least one whole frame.

    Raises:
        EnvironmentFault: a living gate holds the socket, or the file cannot be made.
        ConfigError: ``path`` is something else than a socket.
    """

    def __init__(
        self,
        path: Path,
        allowed_uids: Collection[int],
        *,
        owner_uids: Collection[int] = (),
        anyone: bool = False,
        gid: int | None = None,
        proc: ProcFs | None = None,
        clients_max: int = CLIENTS_MAX,
        buffer_bytes_max: int = BUFFER_BYTES_MAX,
    ) -> None:
        if buffer_bytes_max < FRAME_BYTES_MAX:
            raise MisuseError(
                f"buffer of {buffer_bytes_max} bytes holds no frame of {FRAME_BYTES_MAX}",
                code="door.buffer.small",
            )
        self._path = path
        self._allowed_uids = frozenset(allowed_uids)
        self._owner_uids = frozenset(owner_uids)
        self._anyone = anyone
        self._proc = ProcFs() if proc is None else proc
        self._clients_max = clients_max
        self._buffer_bytes_max = buffer_bytes_max
        self._clients: dict[int, _Client] = {}
        self._by_fd: dict[int, _Client] = {}
        self._last_id = 0
        self._findings: dict[int, Finding] = {}
        self._selector: selectors.BaseSelector | None = None
        self._listener = _listen(path, gid, OPEN_MODE if anyone else SOCKET_MODE)
        made = path.lstat()
        self._inode = (made.st_dev, made.st_ino)

    def fileno(self) -> int:
        """File descriptor of the listening socket."""
        return self._listener.fileno()

    def register(self, selector: selectors.BaseSelector) -> None:
        """Put the door, and whoever connects later, into ``selector``."""
        self._selector = selector
        selector.register(self._listener, selectors.EVENT_READ, self)

    @property
    def clients(self) -> Mapping[int, int]:
        """Ids of the connected clients, oldest first, each with its dropped frames."""
        return {client.id: client.dropped for client in self._clients.values()}

    def is_own(self, client_id: int) -> bool:
        """Whether a client is one of the door's owners."""
        client = self._clients.get(client_id)
        return client is not None and client.uid in self._owner_uids

    def process_of(self, client_id: int) -> ProcessId | None:
        """Who connected, by the kernel's word.

        A connection outlives whoever made it, and its pid then names somebody else: ask whether
        that one is alive after whatever else is asked of the pid.
        """
        client = self._clients.get(client_id)
        return None if client is None else client.process

    def take_findings(self) -> tuple[Finding, ...]:
        """Findings since the last call, one for each refused uid."""
        findings = tuple(self._findings.values())
        self._findings.clear()
        return findings

    def on_ready(self, key: selectors.SelectorKey) -> list[tuple[int, pb.ToGate]]:
        """Serve one ready key of this door; whole messages that came in, with the client's id.

        A client that speaks nonsense is closed; what it said before in this call still counts.
        """
        if key.fd == self._listener.fileno():
            self._accept()
            return []
        client = self._by_fd.get(key.fd)
        if client is None:
            return []
        self._flush(client)
        return self._read(client) if client.id in self._clients else []

    def send(self, client_id: int, message: pb.FromGate) -> bool:
        """Queue a message; False if it was dropped: the client is gone or reads too slowly.

        Raises:
            OversizedError: the message is longer than any frame may be.
        """
        client = self._clients.get(client_id)
        return client is not None and self._queue(client, encode_frame(message))

    def broadcast(self, message: pb.FromGate) -> int:
        """Queue a message for everybody; how many got it.

        Raises:
            OversizedError: the message is longer than any frame may be.
        """
        frame = encode_frame(message)
        return sum(self._queue(client, frame) for client in list(self._clients.values()))

    def close(self) -> None:
        """Close everything and remove the socket file, if it is still this door's."""
        for client in list(self._clients.values()):
            self._drop(client)
        if self._selector is not None:
            self._selector.unregister(self._listener)
            self._selector = None
        self._listener.close()
        try:
            now = self._path.lstat()
            if (now.st_dev, now.st_ino) == self._inode:
                self._path.unlink()
        except FileNotFoundError:
            return

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # out of descriptors: the gate goes on without this client
            _LOG.warning("door.accept-failed: %s", error.strerror)
            return
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _gid = _CREDENTIALS.unpack(credentials)
        if not self._anyone and uid not in self._allowed_uids | self._owner_uids:
            self._refuse(pid, uid)
            sock.close()
            return
        if self._anyone and len(self._clients) >= self._clients_max:
            self._drop(next(iter(self._clients.values())))
        if self._selector is None or len(self._clients) >= self._clients_max:
            _LOG.warning("door.full: %d clients are connected already", len(self._clients))
            sock.close()
            return
        sock.setblocking(False)
        self._last_id += 1
        bytes_max = OPEN_BYTES_MAX if self._anyone else MESSAGE_BYTES_MAX
        process = living_peer(sock, pid, uid, self._proc)
        client = _Client(self._last_id, sock, uid, process, bytes_max)
        self._clients[client.id] = client
        self._by_fd[sock.fileno()] = client
        self._selector.register(sock, selectors.EVENT_READ, self)

    def _refuse(self, pid: int, uid: int) -> None:
        # Once a uid until the findings are taken: a loop of refused peers must not fill the log.
        if uid in self._findings or len(self._findings) >= FINDINGS_MAX:
            return
        detail = f"process {pid} of uid {uid} tried to open the door; it is not in courier_uids"
        self._findings[uid] = Finding(
            id="door.peer-refused", severity=Severity.WARNING, detail=detail
        )
        _LOG.warning("door.peer-refused: %s", detail)

    def _read(self, client: _Client) -> list[tuple[int, pb.ToGate]]:
        messages: list[tuple[int, pb.ToGate]] = []
        try:
            data = client.sock.recv(_OPEN_READ_BYTES if self._anyone else _READ_BYTES)
            if not data:
                self._drop(client)
            # Anybody may ask: what else came with a question is neither looked at nor answered.
            for frame in client.decoder.feed(data)[: 1 if self._anyone else None]:
                messages.append((client.id, parse_to_gate(frame)))  # noqa: PERF401 - those before a bad frame stay
        except BlockingIOError:
            return []
        except PeerError as error:
            _LOG.warning("%s (client %d is closed)", error, client.id)
            self._drop(client)
        except OSError:
            self._drop(client)
        return messages

    def _queue(self, client: _Client, frame: bytes) -> bool:
        if len(client.out) + len(frame) > self._buffer_bytes_max:
            client.dropped += 1
            return False
        client.out += frame
        self._flush(client)
        return client.id in self._clients

    def _flush(self, client: _Client) -> None:
        try:
            while client.out:
                with memoryview(client.out) as view:
                    sent = client.sock.send(view)
                del client.out[:sent]
        except BlockingIOError:
            pass  # the selector says when there is room again
        except OSError:
            self._drop(client)
            return
        if self._selector is not None:
            wanted = selectors.EVENT_WRITE if client.out else 0
            self._selector.modify(client.sock, selectors.EVENT_READ | wanted, self)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.id, None) is None:
            return
        del self._by_fd[client.sock.fileno()]
        if self._selector is not None:
            self._selector.unregister(client.sock)
        client.sock.close()


def _listen(path: Path, gid: int | None, mode: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        # Nobody can connect before listen(): the mode holds from the first connection on.
        path.chmod(mode)
        if gid is not None:
            os.chown(path, -1, gid)
        listener.setblocking(False)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise EnvironmentFault(
            f"cannot open the door at {path}: {error.strerror or error}",
            code="door.unavailable",
            remedy="Check door_path and the rights of its directory.",
        ) from error
    except EnvironmentFault:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(
            f"{path} is there and is no socket",
            code="door.path.taken",
            remedy="Name another door_path, or remove the file.",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # its backlog is full: somebody is listening
    raise EnvironmentFault(
        f"another process listens at {path}",
        code="door.in-use",
        remedy="Stop the other gate first; one gate a host.",
    )
