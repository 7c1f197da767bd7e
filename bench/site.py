"""A real governor on one core, made and asked through its own command line."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.harness import BenchError, check_pinned, on_core
from bench.streams import Bearer
from flopgate_governor.files import Layout, read_signing_key
from flopgate_proto.keys import SigningKey
from flopgate_proto.limits import COUNT_MAX
from flopgate_sim.live.governor import AUTHORITY, Governor
from flopgate_sim.live.network import Addresses
from flopgate_sim.live.processes import LOOPBACK, Child, free_ports, wait_until

ROOT = Path(__file__).parents[1]
START_S = 30.0

TIMES = {
    "lifetime_ms": 600_000,
    "wind_down_ms": 120_000,
    "renew_after_ms": 120_000,
    "drain_ms": 5_000,
}
"""Of the default policy."""
TOLERATED_OUTAGE_MS = TIMES["lifetime_ms"] - TIMES["wind_down_ms"] - TIMES["renew_after_ms"]
CAPACITY = "1e19"
"""Declared, FLOP/s: the cluster is covered, so that every grant is held against a budget."""


class Probe:
    """The process that verifies beside a burst (see ``bench.probe``)."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def begin(self) -> None:
        """Begin to measure."""
        self._tell()

    def end(self) -> float:
        """CPU time of one verification since then, nanoseconds.

        Raises:
            BenchError: the probe ended.
        """
        self._tell()
        line = self._child.lines.readline()
        if not line:
            self._child.check()
            raise BenchError("the probe said nothing")
        return float(line)

    def stop(self) -> None:
        """End it."""
        self._child.stop()

    def _tell(self) -> None:
        if self._child.process.stdin is None:
            raise BenchError("the probe does not listen")
        self._child.process.stdin.write(b"\n")
        self._child.process.stdin.flush()


@dataclass(slots=True)
class Site:
    """A running governor, the directory of everything, and where it listens."""

    governor: Governor
    directory: Path
    address: str
    enroll_address: str
    core: int | None
    child: Child | None = None

    @property
    def layout(self) -> Layout:
        """Paths of the governor's directory."""
        return Layout(self.governor.directory)

    @property
    def authority(self) -> str:
        """Its name."""
        return AUTHORITY

    @property
    def pid(self) -> int:
        """Of the serving process.

        Raises:
            BenchError: it does not run.
        """
        if self.child is None:
            raise BenchError("the governor was not started")
        self.child.check()
        return self.child.process.pid

    def permit_key(self) -> SigningKey:
        """What it signs batches with; the judge needs its public half."""
        return read_signing_key(self.layout.permit_key)

    def relay(self) -> Bearer:
        """A relay's key and certificate."""
        out = self.governor.relay()
        return Bearer(
            ca_pem=(out / "ca.pem").read_bytes(),
            key_pem=(out / "key.pem").read_bytes(),
            chain_pem=(out / "certificate.pem").read_bytes(),
        )

    def start(self) -> None:
        """Start, or start again, on its core; does not wait for it."""
        self.child = self._on_its_core(
            "flopgate_governor.cli",
            [
                *("serve", "--dir", str(self.layout.root)),
                *("--listen", self.address, "--enroll-listen", self.enroll_address),
            ],
            "governor.log",
        )

    def kill(self) -> None:
        """``kill -9``."""
        if self.child is not None:
            self.child.kill()

    def stop(self) -> None:
        """End the governor."""
        if self.child is not None:
            self.child.stop()

    def _on_its_core(
        self, module: str, arguments: list[str], log: str, *, talks: bool = False
    ) -> Child:
        with contextlib.ExitStack() as stack:
            if self.core is not None:
                stack.enter_context(on_core(self.core))
            paths = [os.fspath(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            env = {"PYTHONPATH": os.pathsep.join(paths)}
            return Child(module, arguments, self.directory / log, env, talks=talks)

    def start_probe(self) -> Probe:
        """Raw verifications on its core, now and then."""
        return Probe(self._on_its_core("bench.probe", [], "probe.log", talks=True))

    def start_echo(self) -> tuple[Child, str]:
        """A server that sends each message back, with the same TLS on the same core."""
        (port,) = free_ports(1)
        address = f"127.0.0.1:{port}"
        echo = self._on_its_core("bench.echo_server", [str(self.layout.root), address], "echo.log")
        return echo, address


@contextlib.contextmanager
def running_site(core: int | None = None) -> Iterator[Site]:
    """A governor whose every thread runs on one core, with a policy that grants."""
    with tempfile.TemporaryDirectory(prefix="flopgate-bench-") as name:
        directory = Path(name)
        listen = Addresses.on(LOOPBACK, free_ports(2))
        governor = Governor(directory, TIMES, listen)
        site = Site(governor, directory, listen.link, listen.enroll, core)
        governor.make()
        try:
            site.start()
            wait_until("the governor", governor.answers, START_S)
            governor.apply(COUNT_MAX)
            if core is not None:
                check_pinned(site.pid, core)
            yield site
        finally:
            site.stop()
