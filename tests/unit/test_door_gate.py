"""The gate's side of the door, on real sockets in one thread: nothing in it may block."""

import logging
import os
import selectors
import socket
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from flopgate_agent.door import FRAME_BYTES_MAX, FrameDecoder, encode_frame, parse_from_gate
from flopgate_agent.gate_process.gate_door import GateDoor
from flopgate_proto.errors import ConfigError, EnvironmentFault, MisuseError
from flopgate_proto.v1 import flopgate_pb2 as pb

RESEND = pb.ToGate(resend=pb.Resend(authority="home", from_sequence=3))


class Stand:
    """A door with its loop."""

    def __init__(
        self, path: Path, uids: set[int], clients_max: int = 2, owners: Collection[int] = ()
    ) -> None:
        self.path = path
        self.selector = selectors.DefaultSelector()
        self.door = GateDoor(
            path,
            uids,
            owner_uids=owners,
            clients_max=clients_max,
            buffer_bytes_max=FRAME_BYTES_MAX,
        )
        self.door.register(self.selector)
        self.peers: list[socket.socket] = []

    def connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(30)
        self.peers.append(peer)
        peer.connect(str(self.path))
        self.turn()
        return peer

    def turn(self) -> list[tuple[int, pb.ToGate]]:
        """Serve everything that is ready."""
        return [
            message
            for key, _ in self.selector.select(0)
            if key.data is self.door
            for message in self.door.on_ready(key)
        ]

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.door.close()
        self.selector.close()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path / "door", {os.getuid()})
    yield made
    made.close()


def _report(size_bytes: int) -> pb.FromGate:
    envelope = pb.Envelope(payload=bytes(size_bytes))
    return pb.FromGate(report=pb.SignedReport(envelope=envelope))


def _received(peer: socket.socket, decoder: FrameDecoder) -> list[pb.FromGate]:
    return [parse_from_gate(frame) for frame in decoder.feed(peer.recv(1 << 22))]


def test_messages_go_both_ways_by_client(stand: Stand) -> None:
    first, second = stand.connect(), stand.connect()
    one, other = stand.door.clients
    second.sendall(encode_frame(RESEND) * 2)
    assert stand.turn() == [(other, RESEND), (other, RESEND)]
    assert stand.door.send(one, _report(1))
    assert _received(first, FrameDecoder()) == [_report(1)]
    assert stand.door.broadcast(_report(2)) == 2
    assert _received(first, FrameDecoder()) == [_report(2)]
    assert _received(second, FrameDecoder()) == [_report(2)]


def test_a_slow_client_loses_whole_frames_and_blocks_nobody(stand: Stand) -> None:
    slow, quick = stand.connect(), stand.connect()
    slow_id, quick_id = stand.door.clients
    message = _report(1_000_000)
    kept = 0
    decoder = FrameDecoder()
    for _ in range(12):
        kept += stand.door.send(slow_id, message)
        assert stand.door.send(quick_id, message)
        got: list[pb.FromGate] = []
        while not got:
            got = _received(quick, decoder)
            stand.turn()
        assert got == [message]
    assert 4 <= kept < 12
    assert stand.door.clients == {slow_id: 12 - kept, quick_id: 0}
    # What was taken arrives whole, and then there is room again.
    decoder = FrameDecoder()
    for _ in range(kept):
        got = []
        while not got:
            got = _received(slow, decoder)
            stand.turn()
        assert got == [message] * len(got)
        if (kept := kept - len(got)) <= 0:
            break
    assert stand.door.send(slow_id, message)


def test_mode_is_for_owner_and_group(stand: Stand) -> None:
    assert stand.path.stat().st_mode & 0o777 == 0o660


def test_a_uid_that_is_not_listed_is_refused_and_found_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stand = Stand(tmp_path / "door", {os.getuid() + 1})
    try:
        with caplog.at_level(logging.WARNING):
            peers = [stand.connect() for _ in range(3)]
        assert [peer.recv(1) for peer in peers] == [b""] * 3
        assert dict(stand.door.clients) == {}
        assert [finding.id for finding in stand.door.take_findings()] == ["door.peer-refused"]
        assert stand.door.take_findings() == ()
        assert caplog.text.count("door.peer-refused") == 1
    finally:
        stand.close()


def test_more_clients_than_allowed_are_closed(stand: Stand) -> None:
    stand.connect()
    stand.connect()
    assert stand.connect().recv(1) == b""
    assert len(stand.door.clients) == 2


@pytest.mark.parametrize("nonsense", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"])
def test_nonsense_closes_its_client_alone(stand: Stand, nonsense: bytes) -> None:
    good, bad = stand.connect(), stand.connect()
    good_id, bad_id = stand.door.clients
    bad.sendall(encode_frame(RESEND) + nonsense)
    stand.turn()
    assert list(stand.door.clients) == [good_id]
    assert not stand.door.send(bad_id, _report(1))
    good.sendall(encode_frame(RESEND))
    assert stand.turn() == [(good_id, RESEND)]


def test_a_client_that_left_is_forgotten(stand: Stand) -> None:
    stand.connect().close()
    stand.turn()
    assert dict(stand.door.clients) == {}
    assert stand.door.broadcast(_report(1)) == 0
    stand.connect()
    assert len(stand.door.clients) == 1


def test_a_dead_gates_socket_is_replaced_a_living_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "door"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    living = Stand(path, {os.getuid()})
    try:
        with pytest.raises(EnvironmentFault) as caught:
            GateDoor(path, {os.getuid()})
        assert caught.value.code == "door.in-use"
        living.connect()
        assert living.door.clients
    finally:
        living.close()
    assert not path.exists()


def test_another_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "door"
    path.write_text("precious")
    with pytest.raises(ConfigError) as caught:
        GateDoor(path, {0})
    assert caught.value.code == "door.path.taken"
    assert path.read_text() == "precious"


def test_closing_spares_a_successors_socket(tmp_path: Path) -> None:
    path = tmp_path / "door"
    old = GateDoor(path, {os.getuid()})
    path.unlink()
    new = GateDoor(path, {os.getuid()})
    old.close()
    assert path.exists()
    new.close()


def test_a_buffer_too_small_for_a_frame_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(MisuseError):
        GateDoor(tmp_path / "door", {0}, buffer_bytes_max=FRAME_BYTES_MAX - 1)


def test_a_path_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        GateDoor(tmp_path / "absent" / "door", {0})
    assert caught.value.code == "door.unavailable"


@pytest.mark.parametrize("owns", [False, True])
def test_owners_are_told_from_couriers(tmp_path: Path, *, owns: bool) -> None:
    me = os.getuid()
    made = Stand(tmp_path / "door", {me} - ({me} if owns else set()), owners={me} if owns else ())
    try:
        made.connect()
        (client,) = made.door.clients
        assert made.door.is_own(client) is owns
        assert not made.door.is_own(client + 1)
    finally:
        made.close()
