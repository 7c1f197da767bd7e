"""Chips cut into instances: the real sampler with the real pynvml on the fake driver, metered."""

import time
from pathlib import Path

import pytest

from flopgate_agent.meter import spec_of, worst_case
from flopgate_proto.values import CounterSource
from flopgate_sim.nvml import FakeDriver, NvmlError
from tests.integration.test_sampler_fake_driver import total
from tests.support.sampler_host import LONG_LOADED, finish, host


@pytest.mark.parametrize("averaged", [False, True])
def test_instances_of_a_chip_are_counted_within_half_a_percent(
    tmp_path: Path, *, averaged: bool
) -> None:
    with FakeDriver(tmp_path, gpus=1, counted_cycles=LONG_LOADED) as driver, host(driver) as loop:
        driver.set_gpm_averaged(0, averaged=averaged)
        driver.set_mig(0)
        driver.make_instance(0, 1, "3g.40gb", start=0, share=0.6)
        driver.make_instance(0, 5, "3g.40gb", start=4, share=0.4)
        for one in driver.instances(0):
            # They are there for an hour: what began a second ago proves nothing yet.
            one.since[0] = 0
        time.sleep(0.3)
        loop.look()
        start = driver.truth(0).total_flop
        # No instance does more than its SMs can.
        job = driver.start_workload(gpus=[0], fmt="fp16", share=0.75, duty=0.6)
        for _ in range(3):
            time.sleep(0.5)
            loop.look()
        finish(driver, [job], 1)
        loop.look()
        truth = driver.truth(0).total_flop - start
        parts = loop.measured(0)
        assert [part.source for part in parts] == [CounterSource.GPM_CYCLES] * 4
        assert truth > 10**14
        assert total(parts).low <= truth <= total(parts).high
        assert abs(total(parts).nominal - truth) * 200 < truth


def test_an_instance_that_is_destroyed_between_two_looks_takes_no_flop_with_it(
    tmp_path: Path,
) -> None:
    with FakeDriver(tmp_path, gpus=1) as driver, host(driver) as loop:
        driver.set_mig(0)
        driver.make_instance(0, 1, "3g.40gb", start=0, share=0.5)
        driver.make_instance(0, 2, "3g.40gb", start=4, share=0.5)
        time.sleep(1.5)
        loop.look()
        start = driver.truth(0).total_flop
        job = driver.start_workload(gpus=[0], fmt="fp16", share=0.6)
        time.sleep(0.5)
        finish(driver, [job], 1)
        driver.destroy_instance(0, 2)
        loop.look()
        # Another one with the same id, before anybody looks.
        driver.make_instance(0, 2, "3g.40gb", start=4, share=1.0)
        job = driver.start_workload(gpus=[0], fmt="fp16", share=0.4)
        time.sleep(0.5)
        finish(driver, [job], 1)
        driver.destroy_instance(0, 2)
        driver.make_instance(0, 2, "3g.40gb", start=4, share=0.5)
        loop.look()
        parts = loop.measured(0)
        assert [part.gap for part in parts] == [True, True]
        assert total(parts).nominal >= driver.truth(0).total_flop - start
        assert "meter.mig.uncovered" in [finding.id for finding in parts[0].findings]


def test_instances_that_cannot_be_read_fall_back_to_the_bound(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=1) as driver, host(driver) as loop:
        driver.set_mig(0)
        driver.make_instance(0, 1, "7g.80gb", start=0, share=1.0)
        driver.fail_call("nvmlGpmMigSampleGet", NvmlError.NOT_SUPPORTED)
        loop.look()
        time.sleep(0.2)
        loop.look()
        driver.clear_faults()
        driver.garble_call("nvmlGpuInstanceGetInfo")
        time.sleep(0.2)
        loop.look()
        for part in loop.measured(0):
            spec = spec_of(*loop.chips.values())
            assert part.total == worst_case(spec, part.elapsed_ms).total


def test_the_black_box_tells_how_long_drivers_were_loaded(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=1, boot_run_s=86_400) as driver, host(driver) as loop:
        assert 86_400 <= (loop.look()[0].run_s or 0) <= 86_500
        driver.garble_call("nvmlDeviceGetBBXTimeData_v1")
        assert loop.look()[0].run_s is None
