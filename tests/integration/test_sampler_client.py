"""The client against children that end, babble, stay silent, or cannot be started at all."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flopgate_agent.counters import layout
from flopgate_agent.counters.client import SAMPLER_COMMAND, SamplerClient, child_environment
from flopgate_agent.counters.frames import Identities, Message
from flopgate_agent.counters.topology_client import TOPOLOGY_COMMAND
from flopgate_sim.nvml import FakeDriver
from tests.support.waiting import WAIT_S

IDENTITIES = layout.pack_identities([], "580.0")


def child(body: str) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import os, time\nhello = {IDENTITIES!r}\n{body}")


class Clocked:
    """Drives a client by a clock of its own: deadlines come when the test says so."""

    def __init__(self, client: SamplerClient) -> None:
        self.client = client
        self.now_ms = 1_000
        self.messages: list[Message] = []
        client.start(self.now_ms)

    def until(self, what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < end, f"waited in vain for {what}"
            self.messages.extend(self.client.on_readable(self.now_ms))
            time.sleep(0.005)

    def timer(self) -> int:
        """Go to the next timer; return how long that took in ms."""
        due = self.client.get_timer()
        assert due is not None
        waited, self.now_ms = due - self.now_ms, due
        self.client.handle_timer(due)
        return waited


def test_a_child_that_ends_is_started_again_ever_more_slowly() -> None:
    clocked = Clocked(SamplerClient(env={}, command=child("os._exit(9)")))
    try:
        pauses = []
        for count in range(1, 10):
            clocked.until("the end", lambda: clocked.client.pid is None)
            assert clocked.client.stalled
            assert clocked.client.restarts == count
            pauses.append(clocked.timer())
            assert clocked.client.pid is not None
        assert pauses == [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
    finally:
        clocked.client.close()


def test_a_child_that_speaks_nonsense_is_given_up() -> None:
    clocked = Clocked(
        SamplerClient(env={}, command=child("os.write(1, b'\\xff' * 64); time.sleep(600)"))
    )
    try:
        clocked.until("the nonsense", lambda: clocked.client.pid is None)
        assert "at most" in (clocked.client.last_trouble or "")
        assert not clocked.messages
    finally:
        clocked.client.close()


def test_a_silent_child_is_killed_at_its_deadline_and_not_before() -> None:
    command = child("os.write(1, hello); time.sleep(600)")
    clocked = Clocked(SamplerClient(env={}, command=command, answer_timeout_ms=700))
    try:
        clocked.until("identities", lambda: not clocked.client.stalled)
        assert clocked.messages == [Identities(chips=(), unreadable=(), driver_version="580.0")]
        assert clocked.client.get_timer() is None
        assert clocked.client.request(clocked.now_ms)
        assert clocked.client.waiting
        pid = clocked.client.pid
        clocked.client.handle_timer(clocked.now_ms + 699)
        assert clocked.client.pid == pid
        assert clocked.timer() == 700
        assert clocked.client.pid is None
        assert clocked.client.last_trouble == "no answer in time"
    finally:
        clocked.client.close()


def test_a_child_that_never_starts_talking_has_its_own_deadline() -> None:
    clocked = Clocked(SamplerClient(env={}, command=child("time.sleep(600)"), start_timeout_ms=900))
    try:
        assert clocked.client.stalled
        assert not clocked.client.request(clocked.now_ms)
        assert clocked.timer() == 900
        assert clocked.client.pid is None
    finally:
        clocked.client.close()


def test_a_chip_that_does_not_open_is_left_alone_long_before_the_start_is_over(
    tmp_path: Path,
) -> None:
    steps = [tmp_path / name for name in ("at-0", "go-on", "at-1")]
    at_0, go_on, at_1 = map(str, steps)
    command = child(
        f"""import pathlib, sys
os.pwrite(int(sys.argv[1]), bytes([0]), 0)
pathlib.Path({at_0!r}).touch()
while not os.path.exists({go_on!r}): time.sleep(0.01)
os.pwrite(int(sys.argv[1]), bytes([1]), 0)
pathlib.Path({at_1!r}).touch()
time.sleep(600)"""
    )
    clocked = Clocked(
        SamplerClient(env={}, command=command, start_timeout_ms=9_000, chip_start_ms=500)
    )
    try:
        clocked.until("the first chip", steps[0].exists)
        assert clocked.timer() == 500
        steps[1].touch()
        clocked.until("the second chip", steps[2].exists)
        assert clocked.timer() == 500
        assert clocked.client.restarts == 0, "it went on: each chip has its own time"
        assert clocked.timer() == 500
        assert clocked.client.last_trouble == "no answer in time at chip 1"
        assert list(clocked.client.hung) == [1]
    finally:
        clocked.client.close()


def test_the_descriptor_stays_the_same_over_restarts() -> None:
    clocked = Clocked(SamplerClient(env={}, command=child("os.write(1, hello)")))
    try:
        descriptor = clocked.client.fileno()
        for _ in range(2):
            clocked.until("the end", lambda: clocked.client.pid is None)
            clocked.timer()
        assert clocked.client.fileno() == descriptor
        assert len(clocked.messages) >= 2
    finally:
        clocked.client.close()


def test_a_program_that_is_not_there_is_trouble_not_an_exception() -> None:
    clocked = Clocked(SamplerClient(env={}, command=("/nonexistent/sampler",)))
    try:
        assert clocked.client.stalled
        assert "cannot start" in (clocked.client.last_trouble or "")
        assert clocked.timer() == 100
        assert clocked.timer() == 200
    finally:
        clocked.client.close()


def test_a_host_without_the_driver_library_is_named() -> None:
    clocked = Clocked(SamplerClient(env={"PATH": "/usr/bin"}))
    try:
        clocked.until("the reason", lambda: clocked.client.restarts > 0)
        assert clocked.client.last_trouble == "ended: LIBRARY_NOT_FOUND"
    finally:
        clocked.client.close()


def test_the_child_sees_only_what_it_needs() -> None:
    environ = {"PATH": "p", "LD_LIBRARY_PATH": "l", "SECRET": "s"}
    seen = child_environment(environ)
    assert seen == {"PATH": "p", "LD_LIBRARY_PATH": "l", layout.PARENT_PID: str(os.getpid())}


@pytest.mark.parametrize("command", [SAMPLER_COMMAND, TOPOLOGY_COMMAND])
def test_a_child_whose_parent_died_before_it_could_watch_it_ends(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with FakeDriver(tmp_path, gpus=1) as driver:
        driver.hang_call("nvmlInitWithFlags")
        env = child_environment({**os.environ, **driver.env()})
        asked = subprocess.Popen(command, env=env, stdin=subprocess.PIPE)
        try:
            # While its parent lives, it hangs in the driver.
            with pytest.raises(subprocess.TimeoutExpired):
                asked.wait(3)
        finally:
            asked.kill()
            asked.communicate()
        orphan = subprocess.run(
            command, env=env | {layout.PARENT_PID: str(asked.pid)}, timeout=WAIT_S, check=False
        )
        assert orphan.returncode == 0
