"""The real sampler child with the real pynvml on the fake driver, and the meter on what it says.

What was executed is known exactly: samples are compared with the truth while the GPU is idle.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from flopgate_agent.counters import layout
from flopgate_agent.crosscheck import WINDOW_MS, CrossCheck
from flopgate_agent.measured import Flop, Measured
from flopgate_agent.meter import measure, spec_of, worst_case
from flopgate_proto.values import CounterSource
from flopgate_sim.nvml import FakeDriver, NvmlError
from flopgate_sim.nvml.values import Format, Profile
from tests.support.sampler_host import finish, host, now_ms
from tests.support.waiting import WAIT_S

MIB = 1 << 20


def total(parts: list[Measured]) -> Flop:
    return sum((part.total for part in parts), Flop())


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("profile", ["H100", "B200"])
def test_fp16_gemm_is_counted_within_half_a_percent(
    tmp_path: Path, profile: Profile, *, averaged: bool
) -> None:
    with FakeDriver(tmp_path, profile=profile, gpus=1) as driver, host(driver) as loop:
        driver.set_gpm_averaged(0, averaged=averaged)
        loop.look()
        start = driver.truth(0).total_flop
        job = driver.start_workload(gpus=[0], fmt="fp16", share=0.75)
        for _ in range(3):
            time.sleep(0.5)
            loop.look()
        finish(driver, [job], 1)
        loop.look()
        truth = driver.truth(0).total_flop - start
        parts = loop.measured(0)
        assert [part.source for part in parts] == [CounterSource.GPM_CYCLES] * 4
        assert truth > 10**14
        assert abs(total(parts).nominal - truth) * 200 < truth
        # From idle to full clock in one look: what a steady look told of the counters holds.
        ends, spec = (loop.seen[0][0], loop.seen[-1][0]), spec_of(*loop.chips.values())
        whole = measure(*ends, spec, summed=not averaged)
        assert whole.total.nominal == pytest.approx(total(parts).nominal, rel=1e-9)


HOPPER: tuple[Format, ...] = (
    *("fp16", "bf16", "tf32", "fp8", "int8", "fp64", "fp32", "fp64_vector", "fp16_vector"),
)
EVERY: dict[Profile, tuple[Format, ...]] = {
    "V100": ("fp16", "fp32", "fp64_vector", "fp16_vector"),
    "A100": ("fp16", "bf16", "tf32", "int8", "fp64", "fp32", "fp64_vector", "fp16_vector"),
    "H100": HOPPER,
    "H200": HOPPER,
    "RTX4090": ("fp16", "bf16", "tf32", "fp8", "int8", "fp32", "fp64_vector", "fp16_vector"),
    "B200": (
        *("fp16", "bf16", "tf32", "fp8", "fp4", "int8", "fp64", "fp32"),
        *("fp64_vector", "fp16_vector"),
    ),
}


CYCLES, PERCENT = CounterSource.GPM_CYCLES, CounterSource.GPM_PERCENT
KERNELS = CounterSource.KERNEL_ACTIVE_CLOCK
SOURCES: dict[str, tuple[Profile, CounterSource]] = {
    "V100-kernels": ("V100", KERNELS),
    "A100-kernels": ("A100", KERNELS),
    "RTX4090-kernels": ("RTX4090", KERNELS),
    "H100-cycles": ("H100", CYCLES),
    "H100-percent": ("H100", PERCENT),
    "H100-kernels": ("H100", KERNELS),
    "H200-cycles": ("H200", CYCLES),
    "H200-percent": ("H200", PERCENT),
    "B200-cycles": ("B200", CYCLES),
    "B200-percent": ("B200", PERCENT),
    "B200-kernels": ("B200", KERNELS),
}
"""By the names under which `docs/metering.md` refers to them."""


@pytest.mark.parametrize(("profile", "source"), SOURCES.values(), ids=SOURCES)
def test_truth_lies_between_low_and_high_in_every_format(
    tmp_path: Path, profile: Profile, source: CounterSource
) -> None:
    formats = EVERY[profile]
    with ExitStack() as stack:
        driver = stack.enter_context(FakeDriver(tmp_path, profile=profile, gpus=len(formats)))
        if source is KERNELS:
            driver.fail_call("nvmlGpmQueryDeviceSupport", NvmlError.NOT_SUPPORTED)
        loop = stack.enter_context(host(driver))
        for gpu in range(len(formats)):
            driver.set_gpm_percent_only(gpu, only=source is PERCENT)
        time.sleep(0.5)
        loop.look()
        start = [driver.truth(gpu).total_flop for gpu in range(len(formats))]
        jobs = [
            driver.start_workload(gpus=[gpu], fmt=fmt, share=0.9) for gpu, fmt in enumerate(formats)
        ]
        for _ in range(2):
            time.sleep(0.7)
            loop.look()
        finish(driver, jobs, len(formats))
        loop.look()
        for gpu, fmt in enumerate(formats):
            parts = loop.measured(gpu)
            assert {part.source for part in parts} == {source}, fmt
            assert not any(part.findings for part in parts), fmt
            truth = driver.truth(gpu).total_flop - start[gpu]
            counted = total(parts)
            assert truth > 0, fmt
            # Counters are whole cycles, or whole microseconds: a rounding each.
            assert counted.low <= truth * 1.00001, fmt
            assert truth <= counted.high * 1.00001, fmt
            if fmt in {"fp16", "bf16"}:
                assert truth <= counted.nominal * 1.00001, fmt


def test_a_driver_that_hides_work_contradicts_itself_and_no_honest_one(tmp_path: Path) -> None:
    """The last GPU computes and shows idle cycles; the others do everything that is honest."""
    with FakeDriver(tmp_path, gpus=5) as driver, host(driver) as loop:
        driver.set_gpm_idle(4)
        for _ in range(2):  # the first look at the utilisation buffer has no beginning
            loop.look()
            time.sleep(1.2)
        loop.seen.clear()
        jobs = [
            driver.start_workload(gpus=[0], fmt="fp16", share=0.9),
            driver.start_workload(gpus=[1], kind="comm"),
            driver.start_workload(gpus=[2], kind="memory"),
            driver.start_workload(gpus=[4], fmt="fp16", share=0.9),
        ]
        end = time.monotonic() + (WINDOW_MS + 3_000) / 1000
        while time.monotonic() < end:
            time.sleep(0.8)
            loop.look()
        finish(driver, jobs, 5)
        checks = [CrossCheck(spec_of(loop.chips[one.uuid])) for one in loop.seen[0]]
        found: list[set[str]] = [set() for _ in checks]
        for look in loop.seen:
            for gpu, sample in enumerate(look):
                found[gpu] |= {one.id for one in checks[gpu].look(sample)}
        assert found[:4] == [set(), set(), set(), set()]
        assert found[4] >= {"meter.power.unexplained", "meter.active.below_kernels"}


def test_idle_is_zero_and_communication_is_not_compute(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=2) as driver, host(driver) as loop:
        loop.look()
        job = driver.start_workload(gpus=[1], kind="comm")
        time.sleep(0.5)
        loop.look()
        assert job.pid in (loop.seen[-1][1].pids or ())
        for gpu in (0, 1):
            (part,) = loop.measured(gpu)
            assert part.total == Flop()
            assert not part.gap


def test_identities_and_first_looks(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=3) as driver, host(driver) as loop:
        assert list(loop.chips) == [driver.uuid(gpu) for gpu in range(3)]
        assert [chip.minor for chip in loop.chips.values()] == [0, 1, 2]
        for chip in loop.chips.values():
            assert spec_of(chip).model == "H100 SXM5 80GB"
            assert chip.gpm
            assert chip.max_sm_clock_mhz == 1980
            assert chip.pdi
            assert chip.serial
        first = loop.look()
        assert [sample.uuid for sample in first] == list(loop.chips)
        assert all(sample.cycles and sample.energy_mj is not None for sample in first)
        loop.until("a request", lambda: loop.client.request(now_ms(), layout.REQUEST_IDENTITIES))
        loop.chips = {}
        loop.until("identities again", lambda: len(loop.chips) == 3)
        driver.wait_ticks()
        second = loop.look()
        # Reopening the driver does not start the cumulative counters anew.
        for before, after in zip(first, second, strict=True):
            assert before.cycles
            assert after.cycles
            assert after.cycles.elapsed > before.cycles.elapsed


def test_the_sampler_is_small(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=8) as driver, host(driver) as loop:
        for _ in range(20):
            loop.look()
        status = Path(f"/proc/{loop.client.pid}/status").read_text(encoding="ascii")
        (resident,) = [line.split() for line in status.splitlines() if line.startswith("VmRSS")]
        assert int(resident[1]) * 1024 < 18 * MIB
        maps = Path(f"/proc/{loop.client.pid}/maps").read_text(encoding="utf-8")
        for heavy in ("google", "cryptography", "_ssl", "_asyncio", "_socket"):
            assert heavy not in maps


def test_a_lost_gpu_is_charged_and_the_other_goes_on(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=2) as driver, host(driver) as loop:
        loop.look()
        driver.set_lost(0)
        lost, other = loop.look()
        assert lost.error == "GPU_IS_LOST"
        assert other.error is None
        assert other.cycles
        driver.set_lost(0, lost=False)
        assert [sample.error for sample in loop.look()] == [None, None]
        for part in loop.measured(0):
            spec = spec_of(loop.chips[lost.uuid])
            assert part.gap
            assert part.total == worst_case(spec, part.elapsed_ms).total
        assert not any(part.gap for part in loop.measured(1))


def test_a_chip_cut_into_instances_is_charged_whatever_it_says(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=2) as driver, host(driver) as loop:
        loop.look()
        driver.set_mig(0)
        time.sleep(0.2)
        loop.look()
        driver.set_mig(0, enabled=False)
        time.sleep(0.2)
        loop.look()
        time.sleep(0.2)
        loop.look()
        on, off, after = loop.measured(0)
        for part in (on, off):
            assert part.gap
            assert (
                part.total
                == worst_case(spec_of(next(iter(loop.chips.values()))), part.elapsed_ms).total
            )
            assert [finding.id for finding in part.findings] == ["meter.mig.enabled"]
        assert not after.gap
        assert not any(part.gap for part in loop.measured(1))


def test_counters_that_jump_back_are_found(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=1) as driver, host(driver) as loop:
        time.sleep(0.3)
        loop.look()
        time.sleep(0.3)
        driver.jump_back(0, energy=False)
        loop.look()
        (part,) = loop.measured(0)
        assert part.gap
        assert [finding.id for finding in part.findings] == ["meter.counter.backwards"]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ("nvmlGpmMetricsGet", "cycles"),
        ("nvmlDeviceGetTotalEnergyConsumption", "energy_mj"),
        ("nvmlDeviceGetClockInfo", "sm_clock_mhz"),
    ],
)
def test_sentinels_of_the_driver_become_unknown(tmp_path: Path, call: str, field: str) -> None:
    with FakeDriver(tmp_path, gpus=1) as driver, host(driver) as loop:
        assert getattr(loop.look()[0], field) is not None
        driver.garble_call(call)
        garbled = loop.look()[0]
        assert getattr(garbled, field) is None
        assert garbled.error is None
        driver.clear_faults()
        assert getattr(loop.look()[0], field) is not None


def test_a_refused_call_leaves_the_rest(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=1) as driver, host(driver) as loop:
        driver.fail_call("nvmlGpmSampleGet", NvmlError.UNKNOWN)
        loop.look()
        time.sleep(0.4)
        seen = loop.look()[0]
        assert seen.cycles is None
        assert seen.error is None
        (part,) = loop.measured(0)
        assert part.source is not CounterSource.GPM_CYCLES


def test_a_missing_symbol_means_the_bound_not_the_end(tmp_path: Path) -> None:
    missing = ("nvmlGpmQueryDeviceSupport",)
    with FakeDriver(tmp_path, gpus=1, missing=missing) as driver, host(driver) as loop:
        assert [chip.gpm for chip in loop.chips.values()] == [False]
        time.sleep(0.4)
        loop.look()
        time.sleep(0.4)
        loop.look()
        (part,) = loop.measured(0)
        assert part.source is CounterSource.KERNEL_ACTIVE_CLOCK
        assert part.total == Flop()


def test_a_driver_that_is_gone_is_named_and_found_again(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=1) as driver, host(driver) as loop:
        driver.set_driver_gone()
        assert loop.look()[0].error == "DRIVER_NOT_LOADED"
        assert loop.client.request(now_ms(), layout.REQUEST_IDENTITIES)
        loop.until("the child to end", lambda: loop.client.stalled)
        loop.until("another try", lambda: loop.client.restarts >= 2)
        assert "DRIVER_NOT_LOADED" in (loop.client.last_trouble or "")
        driver.set_driver_gone(gone=False)
        loop.until("the driver", lambda: not loop.client.stalled)
        assert loop.look()[0].error is None


PARENT = """
import os, sys, time
from flopgate_agent.counters.client import SamplerClient
client = SamplerClient(env=os.environ)
client.start(0)
while client.stalled:
    time.sleep(0.01)
    client.on_readable(0)
client.request(0)
print(client.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("hung", [False, True])
def test_the_child_dies_with_its_parent(tmp_path: Path, *, hung: bool) -> None:
    with FakeDriver(tmp_path, gpus=1) as driver:
        if hung:
            driver.hang_call("nvmlDeviceGetTotalEnergyConsumption")
        with subprocess.Popen(
            [sys.executable, "-c", PARENT],
            env={**os.environ, **driver.env()},
            stdout=subprocess.PIPE,
        ) as parent:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            stat = Path(f"/proc/{child}/stat")
            assert stat.exists()
            parent.send_signal(signal.SIGKILL)
            parent.wait()
        end = time.monotonic() + WAIT_S
        # Whoever inherits the child reaps it in its own time: a zombie is dead too.
        while stat.exists() and " Z " not in stat.read_text(encoding="utf-8"):
            assert time.monotonic() < end, "the sampler outlived its parent"
            time.sleep(0.02)
