"""``flopgate-sim live`` in network namespaces: every fault, and nothing left behind."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_sim.live.namespaces import Namespaces, remove_stale
from flopgate_sim.live.network import Trouble
from tests.support.live import LIVE, alive_in, closing, live
from tests.support.waiting import WAIT_S, until

pytestmark = pytest.mark.components

PORT = 7440
NO_SUCH_START = 1
NEARLY_ALL = 380
"""Of 400: while an address is resolved, and on a busy machine, some get lost without our doing."""
SEND = f"""
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for _ in range(400):
        sock.sendto(b"x", (sys.argv[1], {PORT}))
        time.sleep(0.0005)
"""
COUNT = f"""
import select, socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    # SO_RCVBUFFORCE: one that comes late finds all of them.
    sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 21)
    sock.bind((sys.argv[1], {PORT}))
    print("bound", flush=True)
    count, over = 0, False
    while not over or select.select([sock], [], [], 0.2)[0]:
        ready, _, _ = select.select([sock, sys.stdin], [], [])
        over = over or sys.stdin in ready
        if sock in ready:
            sock.recv(16)
            count += 1
    print(count)
"""


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose doors have short paths, as Unix sockets need them."""
    with tempfile.TemporaryDirectory(prefix="fg-") as name:
        yield Path(name)


def _namespaces() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in listed.stdout.splitlines() if line]


def _arrived(network: Namespaces) -> int:
    """Of 400 packets from rack 0 to the governor."""
    address = network.governor.link.partition(":")[0]
    python = [sys.executable, "-S", "-c"]
    with subprocess.Popen(
        [*network.governor_prefix, *python, COUNT, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as counter:
        assert counter.stdin is not None
        assert counter.stdout is not None
        assert counter.stdout.readline() == "bound\n"
        subprocess.run([*network.prefix(0), *python, SEND, address], check=True)
        counter.stdin.close()
        return int(counter.stdout.readline())


def test_every_fault_is_survived_with_every_law() -> None:
    done = live("--hosts", "4", "--network", "namespaces", "--policy-lifetime-s", "15")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    kinds = {one.rpartition(" ")[0] for one in closing(done.stdout)["faults"].split(", ")}
    assert kinds == {"cut", "one-way", "loss", "governor-kill", "host-kill"}
    assert "lost packets" in done.stdout
    assert "every law held" in done.stdout
    assert not [name for name in _namespaces() if name.startswith("flopgate-live-")]


def test_packets_are_lost_as_ordered() -> None:
    network = Namespaces(1)
    try:
        assert _arrived(network) >= NEARLY_ALL
        network.trouble(0, Trouble.LOSS)
        assert 200 <= _arrived(network) <= 360
        assert 40 <= network.heal(0) <= 200
        network.trouble(0, Trouble.UP)
        assert _arrived(network) == 0
        assert network.heal(0) >= NEARLY_ALL
        network.trouble(0, Trouble.CUT)
        assert _arrived(network) == 0
        network.heal(0)
        network.trouble(0, Trouble.DOWN)
        assert _arrived(network) >= NEARLY_ALL
        network.heal(0)
        assert _arrived(network) >= NEARLY_ALL
    finally:
        network.close()


def test_what_a_killed_run_left_is_removed_at_the_next_start(short_path: Path) -> None:
    command = [*LIVE, "--hosts", "2", "--network", "namespaces", "--faults", "cut"]
    env = {**os.environ, "TMPDIR": str(short_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert any("hosts admitted" in line for line in process.stdout)
        left = [name for name in _namespaces() if f"-{process.pid}-" in name]
        assert len(left) == 3
        assert remove_stale() == [], "a living run keeps its own"
        process.kill()
        process.wait()
    assert alive_in(short_path)
    assert sorted(remove_stale()) == sorted(left)
    assert not set(left) & set(_namespaces())
    until(lambda: not alive_in(short_path), lambda: f"the end of {alive_in(short_path)}")


def test_a_name_whose_process_id_came_round_again_is_stale() -> None:
    name = f"flopgate-live-{os.getpid()}-{NO_SUCH_START}-rack0"
    subprocess.run(["ip", "netns", "add", name], check=True)
    assert remove_stale() == [name]


@pytest.mark.parametrize("line", ["network namespaces", "hosts admitted"])
def test_an_interrupt_leaves_nothing(line: str, short_path: Path) -> None:
    command = [*LIVE, "--hosts", "2", "--network", "namespaces", "--faults", "cut"]
    env = {**os.environ, "TMPDIR": str(short_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert any(line in told for told in process.stdout)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(WAIT_S) == 130
    assert not [name for name in _namespaces() if f"-{process.pid}-" in name]
    assert not alive_in(short_path)
    assert not list(short_path.iterdir())
