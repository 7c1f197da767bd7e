"""The door tells users apart by the kernel's word. Needs root, to become somebody else."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flopgate_agent.gate_process.gate_door import GateDoor
from tests.support.waiting import WAIT_S

NOBODY = 65534
CONNECT = (
    "import os, socket, sys\n"
    "os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))\n"
    "sock = socket.socket(socket.AF_UNIX); sock.settimeout(240)\n"
    "try:\n"
    "    sock.connect(sys.argv[1]); print('connected', len(sock.recv(1)))\n"
    "except PermissionError:\n"
    "    print('denied')\n"
)


def _connect_as(uid: int, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-S", "-c", CONNECT, str(path), str(uid)],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.components
def test_a_peer_of_another_user_is_refused() -> None:
    # Not below tmp_path: pytest closes that to other users.
    folder = Path("/run") / f"flopgate-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    path = folder / "door"
    with selectors.DefaultSelector() as selector:
        door = GateDoor(path, {os.getuid()})
        door.register(selector)
        try:
            with _connect_as(NOBODY, path) as stranger:
                # The socket's mode alone keeps other users out.
                assert stranger.communicate(timeout=WAIT_S)[0].split() == ["denied"]
            path.chmod(0o666)
            with _connect_as(NOBODY, path) as stranger:
                for key, _ in selector.select(WAIT_S):
                    assert door.on_ready(key) == []
                # Closed without a byte.
                assert stranger.communicate(timeout=WAIT_S)[0].split() == ["connected", "0"]
            assert dict(door.clients) == {}
            findings = door.take_findings()
            assert [finding.id for finding in findings] == ["door.peer-refused"]
            assert f"uid {NOBODY}" in findings[0].detail
            with socket.socket(socket.AF_UNIX) as own:
                own.connect(str(path))
                for key, _ in selector.select(WAIT_S):
                    door.on_ready(key)
                assert len(door.clients) == 1
        finally:
            door.close()
            folder.rmdir()
