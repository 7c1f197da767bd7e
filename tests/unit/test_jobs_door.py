"""A door for everybody on the host: nobody can keep the gate from its work there."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.config import GateConfig
from flopgate_agent.door import FrameDecoder, encode_frame, parse_from_gate
from flopgate_agent.enforcement.processes import ProcFs
from flopgate_agent.gate.core import GateCore
from flopgate_agent.gate_process.declaring import door_path
from flopgate_agent.gate_process.gate_door import CLIENTS_MAX, OPEN_BYTES_MAX
from flopgate_agent.gate_process.jobs_door import JobsDoor
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.gate_rig import GateRig

QUESTION = encode_frame(pb.ToGate(declare=pb.Declare(workload="run-8")))


class Stand:
    """The door of a gate whose driver is silent, with its loop."""

    def __init__(self, folder: Path, processes: ProcFs | None = None) -> None:
        self.path = folder / "gate.sock"
        self.selector = selectors.DefaultSelector()
        config = GateConfig(
            state_dir=folder, door_path=self.path, courier_uids=(), declarable=("run-8",)
        )
        self.door = JobsDoor(config, self.selector, 0, processes)
        self.core: GateCore | None = None
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
            self.door.on_ready(key, self.core, kept=True, now_ms=0)

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


def test_what_comes_with_a_question_is_not_even_looked_at(stand: Stand) -> None:
    """Ten thousand small messages, which one read held, kept the gate from its work for 0.2 s."""
    peer = stand.connect()
    peer.sendall(QUESTION + b"\0\0\0\1\xff" * 100)
    stand.turn()
    assert answers(peer) == ["declare.unkept"]
    peer.sendall(QUESTION)
    stand.turn()
    assert answers(peer) == ["declare.unkept"]


def test_one_turn_reads_no_more_than_a_message_can_be_long(stand: Stand) -> None:
    peer = stand.connect()
    peer.sendall(QUESTION * (2 * OPEN_BYTES_MAX // len(QUESTION)))
    told = []
    for _ in range(2):
        stand.turn()
        told += answers(peer)
    assert told == ["declare.unkept"] * 2


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


def test_who_got_the_pid_of_whoever_connected_is_not_spoken_for(tmp_path: Path) -> None:
    """The connection is handed to a child, and the pid is made to come round again."""
    folder = tmp_path / "proc" / str(os.getpid())
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text("0::/system.slice/slurmstepd.scope/job_7\n")

    def lives_since(ticks: int) -> None:
        (folder / "stat").write_text(
            f"{os.getpid()} (job) S 1 1 1 0 -1 0 {'0 ' * 10}1 0 {ticks} 0 0"
        )

    lives_since(900)
    stand = Stand(tmp_path, ProcFs(str(tmp_path / "proc")))
    stand.core = GateRig().core
    peer = stand.connect()
    for ticks, code in ((900, "declare.nothing"), (901, "declare.gone")):
        lives_since(ticks)
        peer.sendall(QUESTION)
        stand.turn()
        assert answers(peer) == [code]
    stand.close()
