"""The fake GPU: what executes, what that adds up to, and what stops it."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_sim.nvml import FakeDriver, FakeDriverError, Format, Probe, Profile, Truth
from tests.support.waiting import until

ELAPSED, ACTIVE, MMA, HMMA = 248, 249, 250, 252
PIPES = [250, 251, 252, 253, 254, 257, 258, 259, 260]
GEMM_FLOP = 2 * 4096**3
NOT_REACHED_MS = 120_000


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[FakeDriver]:
    with FakeDriver(tmp_path, gpus=2) as made:
        yield made


def boot_ms() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000


def after_ticks(driver: FakeDriver, gpu: int = 0, count: int = 20) -> Truth:
    driver.wait_ticks(count)
    return driver.truth(gpu)


def rate_flop_per_s(before: Truth, after: Truth) -> float:
    """Rate while kernels execute, by the engine's own time: no scheduler can spoil it."""
    active_s = (after.math_active_ns - before.math_active_ns) / 1e9
    return (after.total_flop - before.total_flop) / active_s


@pytest.mark.parametrize(("profile", "flop_per_cycle"), [("H100", 4096), ("B200", 8192)])
def test_cycles_times_flop_per_cycle_is_the_truth(
    tmp_path: Path, profile: Profile, flop_per_cycle: int
) -> None:
    with FakeDriver(tmp_path, profile, 1) as driver, Probe(driver) as probe:
        job = driver.start_workload(gpus=[0], fmt="fp16", seconds=1)
        assert job.wait() == 0
        driver.wait_idle(0)
        truth = driver.truth(0)
        counted = probe.gpm(0, [HMMA, MMA])
        executed = truth.flop["fp16"]
        assert truth.total_flop == executed > 100 * GEMM_FLOP
        assert counted[HMMA] * flop_per_cycle == pytest.approx(executed, rel=0.005)
        assert counted[MMA] == counted[HMMA]
        # A job that ends of itself has executed whole GEMMs, and nothing else ran.
        assert abs(executed - round(executed / GEMM_FLOP) * GEMM_FLOP) <= 1
        assert abs(driver.process_flop(job.pid) - executed) <= 1


@pytest.mark.parametrize(
    ("profile", "fmt", "peak_flop_per_s"),
    [
        ("V100", "fp16", 125e12),
        ("A100", "fp16", 312e12),
        ("A100", "fp64", 19.5e12),
        ("H100", "bf16", 989.4e12),
        ("H100", "fp8", 1978.9e12),
        ("H100", "tf32", 494.7e12),
        ("H100", "fp32", 66.9e12),
        ("H100", "fp64", 66.9e12),
        ("RTX4090", "fp16", 330.3e12),
        ("RTX4090", "bf16", 165.2e12),
        ("B200", "fp16", 2250e12),
        ("B200", "fp4", 9000e12),
    ],
)
def test_a_full_pipe_reaches_the_published_peak(
    tmp_path: Path,
    profile: Profile,
    fmt: Format,
    peak_flop_per_s: float,
) -> None:
    with FakeDriver(tmp_path, profile, 1) as driver:
        driver.start_workload(gpus=[0], fmt=fmt, share=1.0, persistent=True)
        before = after_ticks(driver, count=5)
        after = after_ticks(driver)
    assert rate_flop_per_s(before, after) == pytest.approx(peak_flop_per_s, rel=0.01)
    assert after.flop[fmt] == after.total_flop


def test_a_format_the_chip_lacks_is_refused(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, "A100", 1) as driver:
        with pytest.raises(FakeDriverError, match="impossible workload"):
            driver.start_workload(gpus=[0], fmt="fp8")
        assert driver.truth(0).total_flop == 0


def test_counters_averaged_over_sms(driver: FakeDriver) -> None:
    job = driver.start_workload(gpus=[0])
    after_ticks(driver)
    job.kill()
    driver.wait_idle(0)
    with Probe(driver) as probe:
        summed = probe.gpm(0, [HMMA])[HMMA]
        driver.set_gpm_averaged(0)
        averaged = probe.gpm(0, [HMMA])[HMMA]
    assert averaged == summed // 132 > 0


def test_counts_between_the_samples_only(driver: FakeDriver) -> None:
    job = driver.start_workload(gpus=[0])
    after_ticks(driver)
    job.kill()
    driver.wait_idle(0)
    with Probe(driver) as probe:
        assert probe.gpm(0, [HMMA])[HMMA] > 0
        driver.set_gpm_relative(0)
        assert probe.gpm(0, [HMMA])[HMMA] == 0


def test_percentages_over_a_window(driver: FakeDriver) -> None:
    driver.start_workload(gpus=[0], share=0.5, persistent=True)
    with Probe(driver) as probe:
        found = probe.gpm(0, [2, 5, 7, 12], window_ms=300)
    assert found[2] == pytest.approx(100, abs=1)
    assert found[5] == found[7] == pytest.approx(50, abs=1)
    assert found[12] == 0


def test_counters_jump_back_and_the_truth_does_not(driver: FakeDriver) -> None:
    job = driver.start_workload(gpus=[0])
    after_ticks(driver)
    job.kill()
    driver.wait_idle(0)
    truth = driver.truth(0)
    with Probe(driver) as probe:
        before = probe.gpm(0, [HMMA, ELAPSED])
        driver.jump_back(0)
        after = probe.gpm(0, [HMMA, ELAPSED])
        assert after[HMMA] == 0 < before[HMMA]
        assert after[ELAPSED] < before[ELAPSED]
    assert driver.truth(0).flop == truth.flop


def test_energy_integrates_power(driver: FakeDriver) -> None:
    driver.start_workload(gpus=[0], persistent=True)
    after_ticks(driver, count=60)
    with Probe(driver) as probe:
        before = driver.truth(0)
        power_mw = probe.call("nvmlDeviceGetPowerUsage", gpu=0)
        after = after_ticks(driver, count=100)
        shown_mj = probe.call("nvmlDeviceGetTotalEnergyConsumption", gpu=0)
        now = driver.truth(0)
        idle_mw = probe.call("nvmlDeviceGetPowerUsage", gpu=1)
    mean_mw = (after.energy_uj - before.energy_uj) / (after.at_ms - before.at_ms)
    assert mean_mw == pytest.approx(power_mw, rel=0.02)
    assert idle_mw < power_mw / 4
    # The shown counter is the truth as it was at most one refresh (100 ms, and a late tick) ago.
    assert shown_mj * 1000 <= now.energy_uj
    assert shown_mj * 1000 > before.energy_uj


def test_freezing_stops_submission_and_the_queue_drains(driver: FakeDriver) -> None:
    drain_ms = 1000
    job = driver.start_workload(gpus=[0], drain_ms=drain_ms)
    running = after_ticks(driver)
    rate = rate_flop_per_s(driver.truth(0), after_ticks(driver))
    os.kill(job.pid, signal.SIGSTOP)
    frozen_ms = boot_ms()
    at_freeze = driver.truth(0)
    after = after_ticks(driver, count=10)
    assert after.total_flop > at_freeze.total_flop > running.total_flop
    driver.wait_idle(0)
    drained = driver.truth(0)
    assert drained.total_flop - at_freeze.total_flop <= rate * drain_ms / 1000 * 1.05
    assert drained.last_work_ms is not None
    assert drained.last_work_ms > frozen_ms
    assert after_ticks(driver).total_flop == drained.total_flop
    assert driver.pids(0) == (job.pid,)
    os.kill(job.pid, signal.SIGCONT)
    driver.wait_ticks(20)
    assert driver.truth(0).total_flop > drained.total_flop


@pytest.mark.components
def test_a_frozen_cgroup_drains_too(driver: FakeDriver) -> None:
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    root = next(Path(line.split()[1]) for line in mounts if line.split()[2] == "cgroup2")
    group = root / f"fake-nvml-{os.getpid()}"
    group.mkdir()
    try:
        job = driver.start_workload(gpus=[0], cgroup=group)
        after_ticks(driver)
        (group / "cgroup.freeze").write_text("1", encoding="utf-8")
        events = group / "cgroup.events"
        until(lambda: "frozen 1" in events.read_text(encoding="utf-8"), "the cgroup to freeze")
        driver.wait_idle(0)
        frozen = driver.truth(0)
        assert after_ticks(driver).total_flop == frozen.total_flop > 0
        job.kill()
        job.wait()
        driver.wait_ticks()
        assert driver.pids(0) == ()
    finally:
        driver.stop()
        group.rmdir()


def test_a_persistent_kernel_survives_the_freeze_and_not_the_kill(driver: FakeDriver) -> None:
    job = driver.start_workload(gpus=[0], persistent=True, drain_ms=20)
    os.kill(job.pid, signal.SIGSTOP)
    before = after_ticks(driver)
    after = after_ticks(driver)
    assert after.running
    assert after.total_flop > before.total_flop
    job.kill()
    driver.wait_idle(0)
    stopped = driver.truth(0)
    assert after_ticks(driver).total_flop == stopped.total_flop


def test_killing_ends_the_queue_at_once(driver: FakeDriver) -> None:
    """Killed while frozen, with a queue far longer than the test: nothing of it executes."""
    job = driver.start_workload(gpus=[0, 1], drain_ms=NOT_REACHED_MS)
    after_ticks(driver)
    os.kill(job.pid, signal.SIGSTOP)
    job.kill()
    for gpu in (0, 1):
        driver.wait_idle(gpu)
        stopped = driver.truth(gpu)
        assert stopped.total_flop > 0
        assert after_ticks(driver, gpu).total_flop == stopped.total_flop
        assert driver.pids(gpu) == ()


def test_a_communication_kernel_spins_without_math(driver: FakeDriver) -> None:
    driver.start_workload(gpus=[0], kind="comm")
    before = after_ticks(driver, count=5)
    after = after_ticks(driver)
    with Probe(driver) as probe:
        counted = probe.gpm(0, [ACTIVE, *PIPES])
    assert after.running
    assert after.kernel_active_ns > before.kernel_active_ns
    assert counted[ACTIVE] > 0
    assert [counted[pipe] for pipe in PIPES] == [0] * len(PIPES)
    assert (after.total_flop, after.math_active_ns, after.last_math_ms) == (0, 0, None)


def test_a_memory_bound_kernel_hardly_computes(driver: FakeDriver) -> None:
    driver.start_workload(gpus=[0], kind="memory")
    before = after_ticks(driver, count=5)
    after = after_ticks(driver)
    assert 0 < rate_flop_per_s(before, after) < 0.01 * 66.9e12
    assert after.flop["fp32"] == after.total_flop


def test_locked_clocks_slow_the_work_down(driver: FakeDriver) -> None:
    driver.start_workload(gpus=[0], persistent=True)
    full = rate_flop_per_s(after_ticks(driver, count=5), after_ticks(driver))
    with Probe(driver) as probe:
        probe.call("nvmlDeviceSetGpuLockedClocks", 915, 915, gpu=0)
        locked = rate_flop_per_s(after_ticks(driver, count=5), after_ticks(driver))
        assert probe.call("nvmlDeviceGetClockInfo", 1, gpu=0) == 915
        probe.call("nvmlDeviceResetGpuLockedClocks", gpu=0)
        again = rate_flop_per_s(after_ticks(driver, count=5), after_ticks(driver))
    assert locked == pytest.approx(full / 2, rel=0.001)
    assert again == pytest.approx(full, rel=0.001)


def test_a_power_limit_slows_the_work_down(driver: FakeDriver) -> None:
    driver.start_workload(gpus=[0], persistent=True)
    full = rate_flop_per_s(after_ticks(driver, count=5), after_ticks(driver))
    with Probe(driver) as probe:
        probe.call("nvmlDeviceSetPowerManagementLimit", 300_000, gpu=0)
        driver.wait_ticks(60)
        limited = rate_flop_per_s(driver.truth(0), after_ticks(driver))
        assert probe.call("nvmlDeviceGetPowerUsage", gpu=0) <= 300_000
        assert probe.call("nvmlDeviceGetCurrentClocksEventReasons", gpu=0) == 0x4
    assert limited < 0.8 * full


def test_processes_on_one_gpu_share_its_time(driver: FakeDriver) -> None:
    one = driver.start_workload(gpus=[0], persistent=True)
    alone = rate_flop_per_s(after_ticks(driver, count=5), after_ticks(driver))
    two = driver.start_workload(gpus=[0], persistent=True)
    before = driver.truth(0)
    flop_before = [driver.process_flop(job.pid) for job in (one, two)]
    both = rate_flop_per_s(before, after_ticks(driver, count=100))
    flop_after = [driver.process_flop(job.pid) for job in (one, two)]
    first, second = (b - a for a, b in zip(flop_before, flop_after, strict=True))
    assert both == pytest.approx(alone, rel=0.001)
    assert first == pytest.approx(second, rel=0.1)


def test_a_duty_below_one_leaves_the_gpu_idle_between(driver: FakeDriver) -> None:
    driver.start_workload(gpus=[0], duty=0.3, drain_ms=100)
    before = after_ticks(driver, count=5)
    after = after_ticks(driver, count=200)
    busy_ms = (after.kernel_active_ns - before.kernel_active_ns) / 1e6
    # Late wake-ups only lower it.
    assert 0.02 < busy_ms / (after.at_ms - before.at_ms) < 0.5
