"""The courier as a real process between a real door and a real gRPC server over mutual TLS."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.fake_authority import FakeAuthority, Life
from tests.support.fake_gate import HOST_ID, FakeGate

WAIT_S = 60.0
QUEUE_BYTES_MAX = 65536


def until(condition: Callable[[], object], what: str) -> None:
    """Wait, with a bound that only a broken courier reaches."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class Site:
    """One host: a gate, its courier, and the courier's files."""

    def __init__(self, folder: Path, stack: ExitStack, answer_timeout_ms: int) -> None:
        self._stack = stack
        self.state = folder / "courier"
        (self.state / "authorities").mkdir(parents=True)
        self.log = folder / "courier.log"
        self.door = folder / "door"
        self.config = folder / "courier.toml"
        self.config.write_text(
            f'state_dir = "{self.state}"\ndoor_path = "{self.door}"\n'
            f"queue_bytes_max = {QUEUE_BYTES_MAX}\nbackoff_ms_max = 200\n"
            f"answer_timeout_ms = {answer_timeout_ms}\nkeepalive_ms = 1000\n",
            encoding="utf-8",
        )
        self.gate = self.open_gate()
        self.authorities: dict[str, FakeAuthority] = {}

    def open_gate(self) -> FakeGate:
        """A gate with an empty ledger."""
        gate = FakeGate(self.door)
        self._stack.callback(gate.close)
        return gate

    def open_authority(self, name: str, life: Life | None = None) -> FakeAuthority:
        """An authority that the courier knows."""
        authority = FakeAuthority(life or Life(name))
        self.authorities[name] = authority
        self._stack.callback(self._stop_authority, name)
        description = self.state / "authorities" / f"{name}.toml"
        description.write_text(
            f'address = "127.0.0.1:{authority.link_port}"\n'
            f'enroll_address = "127.0.0.1:{authority.enroll_port}"\n',
            encoding="utf-8",
        )
        description.with_suffix(".ca.pem").write_bytes(authority.life.certifier.ca_pem)
        return authority

    def restart_authority(self, name: str) -> FakeAuthority:
        """The same authority again, on its ports."""
        self.authorities[name] = self.authorities[name].restarted()
        return self.authorities[name]

    def _stop_authority(self, name: str) -> None:
        self.authorities[name].stop()

    def start_courier(self) -> subprocess.Popen[bytes]:
        """The command, as a service manager starts it."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flopgate_agent.cli", "courier", "--config", self.config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def logged(self) -> str:
        """Everything the courier said."""
        return self.log.read_text(encoding="utf-8")


@contextmanager
def _site(folder: Path, answer_timeout_ms: int = 30_000) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(folder, stack, answer_timeout_ms)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with _site(tmp_path) as made:
        yield made


def acknowledged(site: Site, name: str, sequence: int) -> Callable[[], bool]:
    """Whether the gate holds the acknowledgement of ``name`` up to ``sequence``."""
    return lambda: site.gate.acknowledged.get(name) == sequence


def test_enrols_links_and_carries_in_order(site: Site) -> None:
    home = site.open_authority("home")
    site.gate.measure(3)
    courier = site.start_courier()
    until(acknowledged(site, "home", 3), "backlog arrives")
    for _ in range(20):
        site.gate.measure()
    until(acknowledged(site, "home", 23), "new reports arrive")
    assert home.life.received == list(range(1, 24))
    assert home.life.hellos == [HOST_ID]
    assert [admission.courier_certificates for admission in site.gate.admissions] != []
    key = site.state / "courier-key.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    courier.send_signal(signal.SIGTERM)
    assert courier.wait(WAIT_S) == 0, site.logged()
