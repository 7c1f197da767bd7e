"""docs/governor.md is followed while a job runs: another online key, and the former one revoked."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from flopgate_sim.demo.real_host import GPUS, RealHost
from flopgate_sim.live.governor import Governor, declared_flop_per_s
from flopgate_sim.live.network import Addresses
from flopgate_sim.live.processes import LOOPBACK, elapsed_ms, free_ports
from flopgate_sim.nvml import FakeDriver
from tests.support import page
from tests.support.waiting import until

TIMES: Final = {
    "lifetime_ms": 30_000,
    "wind_down_ms": 2_000,
    "renew_after_ms": 3_000,
    "drain_ms": 1_000,
}
NEXT, START, REVOKE = page.blocks("governor.md", "When that key is replaced")


class Scene:
    """One governor, in whose place the page has ``agency``, and one host with a job."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.root = root
        listen = Addresses.on(LOOPBACK, free_ports(2))
        self.governor = Governor(root, TIMES, listen)
        self.governor.make(10**12)
        (root / "agency").symlink_to(self.governor.directory)
        stack.callback(self.governor.stop)
        self.governor.start()
        driver = FakeDriver(root / "gpus", profile="H100", gpus=GPUS)
        driver.start()
        stack.callback(driver.stop)
        self.host = RealHost(root, "host", "run-7", driver, acts=True)
        stack.callback(self.host.stop)
        capacity = f"{declared_flop_per_s(1):.4e}"
        self.host.start(listen.on_token(self.governor.token(1, capacity)))
        until(lambda: self.host.view().state == "RUNNING", "the first permit")
        until(self.host.start_job, "the driver to take the job")
        self.seen: set[tuple[str, str, bool]] = set()

    def run(self, block: str) -> str:
        """A block of the page."""
        return page.run(block, self.root)

    def answered(self) -> None:
        """Two further reports of the host are acknowledged."""
        sequence = self.host.view().sequence
        until(lambda: self.host.view().acknowledged > sequence + 1, "two further answers")

    def refused(self) -> set[str]:
        """Codes of what gate and courier log as refused for a key."""
        logs = (self.root / "host").glob("*.log")
        text = "".join(log.read_text(encoding="utf-8") for log in logs)
        return set(re.findall(r"delegation\.\w+|envelope\.quorum", text))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note whatever the lane does meanwhile."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.1):
                view = self.host.view()
                self.seen.add((view.state, view.reason, self.host.job_lives))

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


def test_law_1_a_job_runs_through_the_replacement_of_an_online_key(scene: Scene) -> None:
    with scene.watched():
        scene.run(NEXT)
        scene.answered()
        scene.governor.stop()
        scene.run(START)
        scene.governor.start()
        scene.answered()
        revoked_ms = elapsed_ms()
        scene.run(REVOKE)
        scene.answered()
        over_ms = revoked_ms + TIMES["lifetime_ms"]
        until(lambda: elapsed_ms() > over_ms, "every permit of the former key to be over")
        scene.answered()
    assert scene.seen == {("RUNNING", "", True)}
    assert scene.refused() == set()

    # Whoever starts with the former key answers nobody, and says why.
    keys = scene.governor.directory / "keys"
    scene.governor.stop()
    (keys / "permit.pem").rename(keys / "next.pem")
    (keys / "former.pem").rename(keys / "permit.pem")
    scene.governor.start()
    assert scene.governor.status()["halted_reason"].startswith("delegation.revoked: ")
    done = scene.governor.attempt(
        *("heads", "export", "--dir", str(scene.governor.directory)),
        *("--out", str(scene.root / "heads.json")),
    )
    assert (done.returncode, "delegation.revoked" in done.stderr) == (1, True)
    again = scene.governor.attempt(
        *("delegate", "--dir", str(scene.governor.directory), *scene.governor.officers(2))
    )
    assert (again.returncode, "delegation.revoked" in again.stderr) == (1, True)
    until(lambda: scene.host.view().state == "HALTED", "its permit to be over")
    scene.governor.stop()
    (keys / "next.pem").rename(keys / "permit.pem")
    scene.governor.start()
    until(lambda: scene.host.view().state == "RUNNING", "the key that counts")
    assert "halted_reason" not in json.dumps(scene.governor.status())
