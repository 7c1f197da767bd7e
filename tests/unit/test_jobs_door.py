"""A door for everybody on the host: nobody can keep the gate from its work there."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.config import GateConfig
from flopgate_agent.door import FrameDecoder, encode_frame, parse_from_gate
from flopgate_agent.gate_process.declaring import door_path
from flopgate_agent.gate_process.gate_door import CLIENTS_MAX, OPEN_BYTES_MAX
from flopgate_agent.gate_process.jobs_door import JobsDoor
from flopgate_proto.v1 import flopgate_pb2 as pb

QUESTION = encode_frame(pb.ToGate(declare=pb.Declare(workload="run-8")))


class Stand:
    """The door of a gate whose driver is silent, with its loop."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate.sock"
        self.selector = selectors.DefaultSelector()
        config = GateConfig(
            state_dir=folder, door_path=self.path, courier_uids=(), declarable=("run-8",)
        )
        self.door = JobsDoor(config, self.selector, 0)
        self.peers: list[socket.socket] = []

    def connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(5)
        self.peers.append(peer)
        peer.connect(str(door_path(self.path)))
        self.turn()
        return peer

    def turn(self) -> None:
        for key, _ in self.selector.select(0):
            self.door.on_ready(key, None, kept=True, now_ms=0)

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.door.close()
        self.selector.close()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


def answers(peer: socket.socket) -> list[str]:
    frames = FrameDecoder().feed(peer.recv(1 << 20))
    return [parse_from_gate(frame).reply.code for frame in frames]


def test_a_flood_of_questions_costs_the_gate_one_a_turn(stand: Stand) -> None:
    peer = stand.connect()
    peer.sendall(QUESTION * 2_000)
    stand.turn()
    assert answers(peer) == ["declare.unkept"]


def test_nobody_fills_its_memory(stand: Stand) -> None:
    peer = stand.connect()
    peer.sendall((OPEN_BYTES_MAX + 1).to_bytes(4, "big") + bytes(OPEN_BYTES_MAX))
    stand.turn()
    assert peer.recv(1) == b""


def test_nobody_holds_all_its_places(stand: Stand) -> None:
    idle = [stand.connect() for _ in range(CLIENTS_MAX)]
    late = stand.connect()
    late.sendall(QUESTION)
    stand.turn()
    assert answers(late) == ["declare.unkept"]
    assert idle[0].recv(1) == b"", "who came first made room"
    idle[1].sendall(QUESTION)
    stand.turn()
    assert answers(idle[1]) == ["declare.unkept"]
