"""A chip at which calls hang (state D) costs the others a restart of the sampler, and no more."""

from pathlib import Path

import pytest

from flopgate_agent.counters import layout
from flopgate_agent.counters.client import MAX_UNREAPED, SAMPLER_COMMAND
from flopgate_agent.meter import spec_of, tighten_gap
from flopgate_sim.nvml import FakeDriver
from tests.support.lingering import lingering
from tests.support.sampler_host import LONG_LOADED, Host, host, now_ms


def restarted(loop: Host, times: int) -> None:
    """Ask until the child hangs and is given up, and wait for the next one."""

    def given_up() -> bool:
        loop.client.request(now_ms())
        return loop.client.restarts == times

    loop.until("the child to be given up", given_up)
    assert loop.client.last_trouble == "no answer in time at chip 0"
    assert loop.client.stalled
    assert not loop.client.request(now_ms())
    loop.until("another child", lambda: not loop.client.stalled)


@pytest.mark.parametrize("call", ["nvmlGpmSampleGet", "nvmlDeviceGetUUID"])
def test_the_others_are_measured_and_the_chip_is_tried_again(tmp_path: Path, call: str) -> None:
    with (
        FakeDriver(tmp_path, gpus=2, counted_cycles=LONG_LOADED) as driver,
        host(driver, answer_timeout_ms=1_500, start_timeout_ms=8_000, hung_first_ms=4_000) as loop,
    ):
        before = loop.look()[1]
        first = loop.client.pid
        driver.hang_call(call, gpu=0)
        if call == "nvmlDeviceGetUUID":
            assert loop.client.request(now_ms(), layout.REQUEST_IDENTITIES)
        restarted(loop, 1)
        assert loop.client.pid != first
        assert list(loop.client.hung) == [0]
        assert list(loop.chips) == [driver.uuid(1)]
        (after,) = loop.look()
        # Cumulative counters carry over the restart: nothing is lost, no gap is charged.
        away_ms = after.taken_ms - before.taken_ms
        assert not tighten_gap(before, after, spec_of(*loop.chips.values()), away_ms).gap
        restarted(loop, 2)  # tried again, in vain
        assert [sample.uuid for sample in loop.look()] == [driver.uuid(1)]
        driver.clear_faults()

        def back() -> bool:
            loop.client.request(now_ms())
            return not loop.client.hung

        loop.until("the chip", back)
        loop.until("the look under way", lambda: not loop.client.waiting)
        assert list(loop.chips) == [driver.uuid(0), driver.uuid(1)]
        assert [sample.error for sample in loop.look()] == [None, None]
        assert loop.client.restarts == 2


def test_a_chip_that_answers_again_does_not_wait_for_another(tmp_path: Path) -> None:
    with (
        FakeDriver(tmp_path, gpus=3) as driver,
        host(driver, answer_timeout_ms=1_000, hung_first_ms=1_000) as loop,
    ):
        loop.look()
        for gpu in (0, 1):
            driver.hang_call("nvmlGpmSampleGet", gpu=gpu)

        def both() -> bool:
            loop.client.request(now_ms())
            return set(loop.client.hung) == {0, 1}

        loop.until("both to be left alone", both)
        driver.clear_fault("nvmlGpmSampleGet", gpu=1)

        def one_back() -> bool:
            loop.client.request(now_ms())
            return list(loop.client.hung) == [0] and not loop.client.waiting

        loop.until("the chip that answers", one_back)
        assert driver.uuid(1) in loop.chips


def test_nobody_joins_a_child_that_is_stuck_at_a_chip(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with (
        FakeDriver(tmp_path / "driver", gpus=2) as driver,
        host(
            driver,
            answer_timeout_ms=1_000,
            hung_first_ms=1,
            command=lingering(SAMPLER_COMMAND, gone),
        ) as loop,
    ):
        try:
            driver.hang_call("nvmlGpmSampleGet", gpu=0)
            restarted(loop, 1)
            for _ in range(MAX_UNREAPED + 1):
                assert [sample.uuid for sample in loop.look()] == [driver.uuid(1)]
            assert loop.client.restarts == 1
            driver.clear_faults()
        finally:
            gone.touch()

        def back() -> bool:
            loop.client.request(now_ms())
            return not loop.client.hung

        loop.until("the chip", back)


def test_a_chip_that_hangs_as_the_sampler_starts_is_left_alone(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=3) as driver:
        driver.hang_call("nvmlDeviceGetUUID", gpu=1)
        since_ms = now_ms()
        with host(driver, start_timeout_ms=60_000, chip_start_ms=1_000) as loop:
            assert now_ms() - since_ms < 30_000, "the others do not wait for the whole start"
            assert list(loop.chips) == [driver.uuid(0), driver.uuid(2)]
            assert loop.client.restarts == 1
            assert list(loop.client.hung) == [1]


def test_a_driver_that_hangs_as_a_whole_is_blamed_on_no_chip(tmp_path: Path) -> None:
    with (
        FakeDriver(tmp_path, gpus=2) as driver,
        host(driver, answer_timeout_ms=1_500, start_timeout_ms=2_000) as loop,
    ):
        driver.hang_call("nvmlInitWithFlags")
        assert loop.client.request(now_ms(), layout.REQUEST_IDENTITIES)
        loop.until("the child to be given up", lambda: loop.client.restarts == 1)
        assert loop.client.last_trouble == "no answer in time"
        assert not loop.client.hung
