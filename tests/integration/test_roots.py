"""Law 4: a governor that runs twice tells each of two hosts a history; what both keep shows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from flopgate_proto.joining import JoinToken
from flopgate_sim.demo.real_host import GPUS, RealHost
from flopgate_sim.live.governor import Governor, declared_flop_per_s
from flopgate_sim.live.network import Addresses
from flopgate_sim.live.processes import LOOPBACK, free_ports
from flopgate_sim.nvml import FakeDriver
from tests.support.forwarder import Forwarder
from tests.support.waiting import until

TIMES: Final = {
    "lifetime_ms": 20_000,
    "wind_down_ms": 1_000,
    "renew_after_ms": 1_000,
    "drain_ms": 1_000,
}


def agent(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flopgate_agent.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Scene:
    """One governor and two hosts; the second reaches it by a wire that can be laid elsewhere."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root, self._stack = root, stack
        self.listen = Addresses.on(LOOPBACK, free_ports(2))
        self.governor = Governor(root, TIMES, self.listen)
        self.governor.make(10**12)
        stack.callback(self.governor.stop)
        self.governor.start()
        self.wire = Forwarder()
        stack.callback(self.wire.close)
        self.lead_to(self.listen)
        token = self.governor.token(2, f"{declared_flop_per_s(2):.4e}")
        self.trust_root = token.trust_root_digest.hex()
        by_wire = Addresses(link=f"{LOOPBACK}:{self.wire.port}", enroll=self.listen.enroll)
        self.hosts = [
            self._host(name, where, token)
            for name, where in (("near", self.listen), ("far", by_wire))
        ]
        for host in self.hosts:
            host.wait_until_enrolled()

    def _host(self, name: str, where: Addresses, token: JoinToken) -> RealHost:
        driver = FakeDriver(self.root / f"{name}-gpus", profile="H100", gpus=GPUS)
        driver.start()
        self._stack.callback(driver.stop)
        host = RealHost(self.root, name, "run-7", driver, acts=True)
        self._stack.callback(host.stop)
        host.start(where.on_token(token))
        return host

    def lead_to(self, listen: Addresses) -> None:
        self.wire.target_port = int(listen.link.rpartition(":")[2])

    def fork(self) -> Governor:
        """The folder is copied, and served from both places."""
        self.governor.stop()
        listen = Addresses.on(LOOPBACK, free_ports(2))
        twin = Governor(self.root / "twin", TIMES, listen)
        shutil.copytree(self.governor.directory, twin.directory)
        self._stack.callback(twin.stop)
        self.lead_to(listen)
        for one in (self.governor, twin):
            one.start()
        return twin

    def answered(self, times: int) -> None:
        """So many further reports of each host are acknowledged."""
        wanted = [host.view().sequence + times for host in self.hosts]
        until(
            lambda: all(
                host.view().acknowledged >= sequence
                for host, sequence in zip(self.hosts, wanted, strict=True)
            ),
            "answers",
        )

    def exported(self, folder: str) -> Path:
        """What each host's operator writes beside the running gate."""
        path = self.root / folder
        path.mkdir()
        for host in self.hosts:
            done = agent("roots", "export", "--config", self.root / host.name / "gate.toml")
            assert done.returncode == 0, done.stderr
            (path / f"{host.name}.roots").write_text(done.stdout)
        return path


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


def test_law_4_an_authority_that_tells_two_histories_is_shown_by_its_hosts(scene: Scene) -> None:
    asked = ("--trust-root", scene.trust_root)
    scene.answered(2)
    one = agent("roots", "compare", scene.exported("before"), *asked)
    assert one.returncode == 0, one.stdout + one.stderr
    assert "held by 2 hosts" in one.stdout

    twin = scene.fork()
    scene.answered(3)
    # Neither governor nor host has anything to say against it.
    for governor in (scene.governor, twin):
        assert "halted_reason" not in governor.status()
    assert {host.view().state for host in scene.hosts} == {"RUNNING"}
    evidence = scene.root / "evidence.roots"
    after = scene.exported("after")
    two = agent("roots", "compare", after, *asked, "--evidence", evidence)
    assert two.returncode == 1, two.stdout + two.stderr
    assert "two batches after one" in two.stdout
    assert "agency.example signed: it told two histories" in two.stderr
    assert all(host.view().host_id[:16] in two.stdout for host in scene.hosts)
    alone = agent("roots", "compare", after / "far.roots", *asked)
    assert alone.returncode == 0, "each was told one history"

    # Whoever has the evidence and the trust root needs nobody else.
    again = agent("roots", "compare", evidence, *asked, "--json")
    assert again.returncode == 1
    *told, totals = map(json.loads, again.stdout.splitlines())
    assert totals["contradictions"] == len(told) > 0
    assert totals["unverified"] == 0
