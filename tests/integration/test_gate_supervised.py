"""The gate as a service: what it says to systemd, and what a restart keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost, until
from tests.support.service_manager import ServiceManager


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GateHost]:
    (tmp_path / "manager").mkdir()
    with (
        ServiceManager(tmp_path / "manager") as manager,
        GateHost(tmp_path, {"run-7": [0]}, gpus=1) as made,
    ):
        made.manager = manager
        yield made


def test_the_gate_says_that_it_serves_that_it_lives_and_that_it_ends(host: GateHost) -> None:
    assert host.manager is not None
    host.manager.watchdog_ms = 900
    host.start()
    host.until_state("run-7", LaneState.RUNNING)
    said = host.manager.said
    until(lambda: said.count("WATCHDOG=1") >= 3, "three signs of life")
    assert "READY=1" in said
    assert host.stop_gate() == 0
    # It lives while it stops its lanes.
    assert "STOPPING=1" in said[said.index("READY=1") :]
