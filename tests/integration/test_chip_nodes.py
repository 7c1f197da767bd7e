"""Device nodes closed and given back by the real child, beside the fake driver."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.enforcement.chips import State, Wish
from tests.support.chip_host import ChipHost, chip_host

NOBODY = 65534


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ChipHost]:
    with chip_host(tmp_path, gpus=2) as made:
        made.nodes = (f"{made.driver.device_dir}/nvidia[0-9]*",)
        made.restart()
        yield made


def node(host: ChipHost, gpu: int = 0) -> Path:
    return host.driver.device_dir / f"nvidia{gpu}"


def mode(host: ChipHost, gpu: int = 0) -> int:
    return node(host, gpu).stat().st_mode & 0o7777


def test_a_closed_node_keeps_out_whom_compute_mode_does_not(host: ChipHost) -> None:
    host.driver.set_mig(0)
    node(host).chmod(0o640)
    old = host.driver.start_workload(gpus=[0], drain_ms=20)
    host.set(Wish.DENIED, 0)
    assert host.state(0, "compute_mode") == State.REFUSED
    assert host.state(0, "nodes") == State.HELD
    assert (mode(host, 0), mode(host, 1)) == (0, mode(host, 1) | 0o400)
    assert host.driver.start_workload(gpus=[0]).wait() == 3, "refused"
    assert old.poll() is None
    host.set(Wish.FREE, 0)
    assert mode(host) == 0o640
    assert host.driver.start_workload(gpus=[0]).poll() is None


def test_the_next_gate_gives_back_mode_and_owner(host: ChipHost) -> None:
    root = os.geteuid() == 0
    node(host).chmod(0o620)
    if root:
        os.chown(node(host), NOBODY, NOBODY)
    host.set(Wish.SLOWED)
    host.restart()
    host.set(Wish.DENIED)  # what it finds is its own, not what was before
    if root:
        assert node(host).stat().st_uid == 0, "an owner could open it again"
    host.restart()
    host.set(Wish.FREE)
    assert mode(host) == 0o620
    assert node(host).stat().st_uid == (NOBODY if root else os.getuid())
    assert list(host.driver.directory.parent.glob("state/*.chip.json")) == []


def test_whoever_opens_a_closed_node_is_found_out(host: ChipHost) -> None:
    host.set(Wish.DENIED)
    node(host).chmod(0o666)
    host.now_ms += 60_000
    host.until(lambda: mode(host) == 0, "it to be closed again")
    host.until(lambda: host.limits.idle, "the answer")
    assert [(one.rung, one.state) for one in host.told] == [("nodes", State.FOUND_UNDONE)]


def test_a_chip_without_a_node_says_so(host: ChipHost) -> None:
    node(host).unlink()
    host.set(Wish.PROBE)
    host.set(Wish.DENIED)
    told = [(fact.uuid, fact.rung, fact.state, fact.detail) for fact in host.told]
    assert told == [(host.uuids[0], "nodes", State.REFUSED, "NO_NODE")]
    assert host.state(1, "nodes") == State.HELD


def test_a_damaged_record_opens_the_node_for_everybody(host: ChipHost) -> None:
    host.set(Wish.DENIED)
    for record in host.driver.directory.parent.glob("state/*.chip.json"):
        record.write_text("{")
    host.restart()
    host.set(Wish.FREE)
    assert mode(host) == 0o666
    assert {fact.state for fact in host.told} == {State.UNREADABLE}
