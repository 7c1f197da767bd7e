"""Who is at the other end of a local connection, and who only has his pid."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from flopgate_agent.enforcement.processes import ProcessId, ProcFs
from flopgate_agent.gate_process.gate_door import GateDoor
from flopgate_agent.gate_process.peers import PEER_PIDFD, living_peer
from tests.support.waiting import WAIT_S

NO_OPTION = 0
"""As a kernel before 6.5 has it."""


PEER = """
import os, socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
if sys.argv[2] == "stays" or not os.fork():
    peer.recv(1)  # until the test lets go
os._exit(0)
"""


def kernel_tells() -> bool:
    """Whether the kernel of this machine has the option."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        try:
            os.close(ours.getsockopt(socket.SOL_SOCKET, PEER_PIDFD))
        except OSError:
            return False
        return True


@contextmanager
def connected(path: Path, how: str) -> Iterator[tuple[socket.socket, int]]:
    """A connection, and the pid of whoever made it, who ``stays`` or leaves it to a child."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(WAIT_S)
        with subprocess.Popen([sys.executable, "-c", PEER, str(path), how]) as peer:
            if how != "stays":
                peer.wait(WAIT_S)
            with closing(listener.accept()[0]) as sock:
                yield sock, peer.pid


def procfs(folder: Path, pid: int, ticks: int) -> ProcFs:
    """One in which this pid is somebody's."""
    (folder / str(pid)).mkdir(parents=True)
    stat = f"{pid} (job) S 1 1 1 0 -1 0 {'0 ' * 10}1 0 {ticks} 0 0"
    (folder / str(pid) / "stat").write_text(stat)
    return ProcFs(str(folder))


def test_who_is_there_is_found_by_either_way(tmp_path: Path) -> None:
    with connected(tmp_path / "door", "stays") as (sock, child):
        found = [
            living_peer(sock, child, os.geteuid(), ProcFs(), option=option)
            for option in (PEER_PIDFD, NO_OPTION)
        ]
        assert found == [ProcFs().process(child).id] * 2  # type: ignore[union-attr]


def test_who_got_the_pid_before_the_gate_looked_is_not_spoken_for(tmp_path: Path) -> None:
    """Whoever connected had ended before the connection was taken, and another has his pid."""
    with connected(tmp_path / "door", "leaves") as (sock, child):
        later = procfs(tmp_path / "proc", child, 7)
        assert later.process(child) is not None
        taken_for_him = living_peer(sock, child, os.geteuid(), later) is not None
        assert taken_for_him is not kernel_tells()


def test_the_door_does_not_speak_for_him_either(tmp_path: Path) -> None:
    path, selector = tmp_path / "door", selectors.DefaultSelector()
    door = GateDoor(path, (), anyone=True, proc=ProcFs(str(tmp_path / "proc")))
    door.register(selector)
    with subprocess.Popen([sys.executable, "-c", PEER, str(path), "leaves"]) as peer:
        peer.wait(WAIT_S)
        procfs(tmp_path / "proc", peer.pid, 7)
        for key, _ in selector.select(WAIT_S):
            door.on_ready(key)
        (client,) = door.clients
        assert (door.process_of(client) is None) is kernel_tells()
        door.close()
    selector.close()


def test_without_that_option_another_users_process_is_not_spoken_for(tmp_path: Path) -> None:
    with connected(tmp_path / "door", "leaves") as (sock, child):
        later = procfs(tmp_path / "proc", child, 7)
        own = living_peer(sock, child, os.geteuid(), later, option=NO_OPTION)
        assert own == ProcessId(pid=child, start_ticks=7), "which this way cannot tell"
        assert living_peer(sock, child, os.geteuid() + 1, later, option=NO_OPTION) is None


def test_nobody_is_found_where_nobody_is(tmp_path: Path) -> None:
    with connected(tmp_path / "door", "leaves") as (sock, child):
        for option in (PEER_PIDFD, NO_OPTION):
            nobody = ProcFs(str(tmp_path))
            assert living_peer(sock, child, os.geteuid(), nobody, option=option) is None
