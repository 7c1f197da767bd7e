"""What the host's own people hear when they ask the gate for something."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from flopgate_agent.door import encode_frame
from flopgate_agent.local_door import ask_gate
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.v1 import flopgate_pb2 as pb

QUESTION = pb.ToGate(retire=pb.Retire())
Asked = Callable[[bytes], str]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """Ask a gate that says these bytes; the code of the error, empty for none."""

    def run(said: bytes) -> str:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "door"))
            listener.listen()

            def answer() -> None:
                peer, _ = listener.accept()
                with peer, suppress(OSError):
                    peer.recv(65536)
                    peer.sendall(said)

            thread = Thread(target=answer)
            thread.start()
            try:
                ask_gate(tmp_path / "door", QUESTION, if_silent="")
            except EnvironmentFault as error:
                return error.code
            finally:
                thread.join()
        return ""

    return run


def test_what_else_the_gate_says_is_passed_over(asked: Asked) -> None:
    snapshot = encode_frame(pb.FromGate(snapshot=pb.Snapshot()))
    assert not asked(snapshot + encode_frame(pb.FromGate(reply=pb.Reply())))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (encode_frame(pb.FromGate(reply=pb.Reply(code="retire.paused"))), "retire.paused"),
        (b"", "gate.closed"),
        (b"\xff" * 8, "gate.closed"),
        (b"\0\0\0\x01\xff", "gate.closed"),
    ],
)
def test_why_it_does_not_is_told(asked: Asked, said: bytes, code: str) -> None:
    assert asked(said) == code


def test_where_no_gate_is_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault) as error:
        ask_gate(tmp_path / "none", QUESTION, if_silent="Start it.")
    assert (error.value.code, error.value.remedy) == ("gate.silent", "Start it.")
