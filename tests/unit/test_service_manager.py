"""What the gate says to systemd, heard by a stand-in, and what systemd keeps for it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.gate_process.service_manager import ServiceManager
from tests.support import service_manager as stand_in
from tests.support.waiting import until


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[stand_in.ServiceManager]:
    with stand_in.ServiceManager(tmp_path) as made:
        yield made


def heard(systemd: stand_in.ServiceManager, count: int) -> list[str]:
    until(lambda: len(systemd.said) >= count, lambda: str(systemd.said))
    return systemd.said


def test_it_says_when_it_serves_and_when_it_ends(systemd: stand_in.ServiceManager) -> None:
    said = ServiceManager(systemd.env(), 1)
    said.ready()
    said.stopping()
    assert heard(systemd, 2) == ["READY=1", "STOPPING=1"]


def test_it_is_alive_three_times_in_the_watchdogs_time(systemd: stand_in.ServiceManager) -> None:
    said = ServiceManager(systemd.env(WATCHDOG_USEC="3000000", WATCHDOG_PID="7"), 7)
    for now_ms in range(100_000, 103_000, 100):
        said.alive(now_ms)
    said.alive(50_000)
    said.ready()
    assert heard(systemd, 5) == ["WATCHDOG=1"] * 4 + ["READY=1"]


@pytest.mark.parametrize(
    "fields",
    [{}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"}, {"WATCHDOG_USEC": "soon"}],
    ids=["none", "another-pid", "nonsense"],
)
def test_without_a_watchdog_it_does_not_say_so(
    systemd: stand_in.ServiceManager, fields: dict[str, str]
) -> None:
    said = ServiceManager(systemd.env(**fields), 7)
    said.alive(100_000)
    said.ready()
    assert heard(systemd, 1) == ["READY=1"]


def test_a_kept_descriptor_comes_back_to_the_next_process(
    systemd: stand_in.ServiceManager,
) -> None:
    fd = os.memfd_create("run")
    os.write(fd, b"kept")
    assert ServiceManager(systemd.env(), 1).keep("run", fd)
    os.close(fd)
    heard(systemd, 1)
    program = (
        "import os; from flopgate_agent.gate_process.service_manager import ServiceManager\n"
        "manager = ServiceManager(os.environ, os.getpid()); fd = manager.stored['run']\n"
        "print(fd, os.pread(fd, 9, 0), os.get_inheritable(fd))"
    )
    ended = subprocess.run(
        systemd.command([sys.executable, "-c", program]),
        env={**os.environ, **systemd.env()},
        pass_fds=systemd.pass_fds,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "3 b'kept' False\n", ended.stderr


def test_descriptors_of_another_process_are_not_taken(systemd: stand_in.ServiceManager) -> None:
    passed = {"LISTEN_PID": "8", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "run"}
    assert ServiceManager(systemd.env(**passed), 7).stored == {}
    assert ServiceManager(systemd.env(**(passed | {"LISTEN_FDS": "many"})), 8).stored == {}


def test_a_gate_that_nobody_supervises_says_nothing() -> None:
    said = ServiceManager({}, 1)
    said.ready()
    said.alive(1)
    assert not said.keep("run", 0)
    assert said.stored == {}


def test_a_service_manager_that_is_gone_ends_no_gate(tmp_path: Path) -> None:
    said = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}, 1)
    said.ready()
    assert not said.keep("run", 0)


def test_an_abstract_socket_is_spoken_to(tmp_path: Path) -> None:
    with stand_in.ServiceManager(tmp_path, f"\0flopgate-{os.getpid()}") as systemd:
        ServiceManager(systemd.env(), 1).ready()
        assert heard(systemd, 1) == ["READY=1"]
