"""The hand that carries out what the core decided, on the fake driver."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.enforcement import Enforcer, EnforcerConfig
from flopgate_agent.gate.actions import Deny, Restore
from flopgate_agent.gate_process.announcing import Announcer
from flopgate_agent.gate_process.hand import OPEN_S_MAX, Hand
from flopgate_proto.limits import COUNT_MAX
from tests.support.chip_host import ChipHost, chip_host
from tests.support.waiting import until

PROHIBITED = 2
LANES = ("run-7", "run-8")


@contextmanager
def hand_of(folder: Path) -> Iterator[tuple[ChipHost, Hand]]:
    """Two lanes of one chip each."""
    with chip_host(folder, gpus=2) as host:
        chips = {lane: [uuid] for lane, uuid in zip(LANES, host.uuids, strict=True)}
        enforcer = Enforcer(EnforcerConfig(state_dir=folder / "state", use_cgroups=False))
        yield host, Hand(enforcer, dict.fromkeys(LANES, ()), chips, host.limits, Announcer(None))


def restore(lane: str) -> Restore:
    return Restore(workload=lane, until_ms=COUNT_MAX)


def until_denied(host: ChipHost, hand: Hand) -> None:
    def denied() -> bool:
        hand.turn(elapsed_ms())
        return host.limits.idle

    until(denied, "the chips to be closed")
    assert [host.driver.compute_mode(gpu) for gpu in (0, 1)] == [PROHIBITED] * 2


def test_chips_are_open_before_the_first_process_is_thawed(tmp_path: Path) -> None:
    with hand_of(tmp_path) as (host, hand):
        for lane in LANES:
            assert hand.carry_out(Deny(workload=lane)) == []
        until_denied(host, hand)
        host.driver.delay_call("nvmlDeviceSetComputeMode", 100)
        assert hand.carry_out(restore("run-7")) == []
        assert [host.driver.compute_mode(gpu) for gpu in (0, 1)] == [0, PROHIBITED]


def test_a_driver_that_is_slow_is_waited_for_once_and_not_for_each_lane(tmp_path: Path) -> None:
    with hand_of(tmp_path) as (host, hand):
        for lane in LANES:
            hand.carry_out(Deny(workload=lane))
        until_denied(host, hand)
        host.driver.hang_call("nvmlDeviceSetComputeMode")
        begun = time.monotonic()
        hand.carry_out(restore("run-7"))
        assert time.monotonic() - begun >= OPEN_S_MAX
        begun = time.monotonic()
        hand.carry_out(restore("run-8"))
        assert time.monotonic() - begun < OPEN_S_MAX
        assert hand.closed == set(LANES)


def test_a_child_that_was_asked_before_the_first_turn_is_given_its_time(tmp_path: Path) -> None:
    with hand_of(tmp_path) as (host, hand):
        host.driver.delay_call("nvmlDeviceSetComputeMode", 300)
        hand.carry_out(Deny(workload="run-7"))
        child = host.limits.pids
        time.sleep(0.1)
        assert hand.turn(elapsed_ms()) == []
        assert host.limits.pids == child
