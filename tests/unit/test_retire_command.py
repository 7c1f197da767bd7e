"""`flopgate-agent retire` says so when it waits for what will not come."""

from __future__ import annotations

import json
import socket
from argparse import Namespace
from pathlib import Path
from threading import Thread

import pytest

from flopgate_agent.clocks import elapsed_ms, read_boot_id
from flopgate_agent.commands import retire
from flopgate_agent.door import encode_frame
from flopgate_agent.host_status import VERSION
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.v1 import flopgate_pb2 as pb


def retired(folder: Path, host_state: str, after_ms: int) -> int:
    """Ask a gate that takes it, and whose status, written so long after, says this."""
    (folder / "gate.toml").write_text(
        f'state_dir = "{folder}/gate"\ndoor_path = "{folder}/door"\ncourier_uids = [0]\n'
        '[[lane]]\nworkload = "w"\nchips = "all"\n'
    )
    status = {
        "version": VERSION,
        "boot_id": read_boot_id().hex(),
        "written_ms": elapsed_ms() + after_ms,
        "host_state": host_state,
        "lanes": [{"state": "running"}],
    }
    (folder / "door.status").write_text(json.dumps(status))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "door"))
        listener.listen()

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(encode_frame(pb.FromGate(reply=pb.Reply())))

        thread = Thread(target=answer)
        thread.start()
        try:
            return retire.run(Namespace(config=folder / "gate.toml", wait=1))
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("host_state", "after_ms", "code"),
    [
        # Of the moment before it was asked: the next one will tell.
        ("enrolled", -2_000, "retire.waiting"),
        ("retiring", 5_000, "retire.waiting"),
        # As a gate says that was started again since.
        ("enrolled", 5_000, "retire.called-off"),
    ],
)
def test_a_restart_that_calls_it_off_is_told_at_once(
    tmp_path: Path, host_state: str, after_ms: int, code: str
) -> None:
    with pytest.raises(EnvironmentFault) as error:
        retired(tmp_path, host_state, after_ms)
    assert error.value.code == code


def test_what_is_let_go_is_told(tmp_path: Path) -> None:
    assert retired(tmp_path, "retired", 5_000) == 0
