"""The fake workload as a process: signals, children, admission, its end and its engine's end."""

import mmap
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from flopgate_sim.nvml import FakeDriver, Probe, Truth, layout
from tests.support.waiting import until

NOT_REACHED_MS = 120_000


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[FakeDriver]:
    with FakeDriver(tmp_path, gpus=2) as made:
        yield made


def after_ticks(driver: FakeDriver, gpu: int = 0, count: int = 20) -> Truth:
    driver.wait_ticks(count)
    return driver.truth(gpu)


def is_noticed(driver: FakeDriver, pid: int, count: int) -> bool:
    return driver.checkpoint_notices(pid) >= count


def test_checkpoint_notices_are_counted(driver: FakeDriver) -> None:
    job = driver.start_workload(gpus=[0, 1])
    polite = driver.start_workload(gpus=[0], exit_on_checkpoint=True)
    for expected in (1, 2):
        job.send_signal(signal.SIGUSR1)
        until(partial(is_noticed, driver, job.pid, expected), f"notice {expected}")
    polite.send_signal(signal.SIGUSR1)
    assert polite.wait() == 0
    assert driver.checkpoint_notices(polite.pid) == 1
    assert job.poll() is None


def test_sigterm_is_obeyed_or_ignored(driver: FakeDriver) -> None:
    obeys = driver.start_workload(gpus=[0], drain_ms=NOT_REACHED_MS)
    ignores = driver.start_workload(gpus=[1], ignore_sigterm=True)
    obeys.terminate()
    ignores.terminate()
    assert obeys.wait() == 0
    driver.wait_idle(0)
    before = after_ticks(driver, 1)
    assert after_ticks(driver, 1).total_flop > before.total_flop
    assert ignores.poll() is None


def test_children_work_on_when_their_parent_is_killed(driver: FakeDriver) -> None:
    job = driver.start_workload(gpus=[0], children=2)
    while len(driver.pids(0)) < 3:
        driver.wait_ticks()
    job.kill()
    job.wait()
    driver.wait_ticks(5)
    left = driver.pids(0)
    assert len(left) == 2
    assert job.pid not in left
    before = after_ticks(driver)
    assert after_ticks(driver).total_flop > before.total_flop
    driver.stop()
    for pid in left:
        until(partial(is_gone, pid), f"{pid} to end")


def start_ticks(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(text.rsplit(") ", 1)[1].split()[22 - 3])


@pytest.mark.parametrize("reused", [False, True])
def test_a_reused_pid_is_not_taken_for_the_process(driver: FakeDriver, *, reused: bool) -> None:
    """A claim by hand for some process, with its start time or with another one."""
    job = driver.start_workload(gpus=[1])
    other = subprocess.Popen(["sleep", "600"])
    with driver.state_path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        state = layout.State.from_buffer(mapped)
        slot = state.slot[1]
        slot.pid = other.pid
        slot.start_ticks = start_ticks(other.pid) - int(reused)
        state.slots_high = 2
        slot.state = layout.SLOT_CLAIMED
        driver.wait_ticks(5)
        seen = (state.slot[0].start_ticks, slot.state)
        del slot, state  # a view keeps the mapping from closing
    other.kill()
    other.wait()
    assert seen == (start_ticks(job.pid), layout.SLOT_DEAD if reused else layout.SLOT_ALIVE)


def is_gone(pid: int) -> bool:
    """Ended; perhaps nobody reaps it here."""
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text(encoding="utf-8").rsplit(") ", 1)[1][0] == "Z"


@pytest.mark.parametrize("how", ["mode", "absent", "prohibited", "exclusive", "lost"])
def test_a_closed_gpu_refuses_new_work_and_keeps_the_old(driver: FakeDriver, how: str) -> None:
    old = driver.start_workload(gpus=[0])
    node = driver.device_dir / "nvidia0"
    with Probe(driver) as probe:
        match how:
            case "mode":
                node.chmod(0)
            case "absent":
                node.unlink()
            case "prohibited":
                probe.call("nvmlDeviceSetComputeMode", 2, gpu=0)
            case "exclusive":
                probe.call("nvmlDeviceSetComputeMode", 3, gpu=0)
            case _:
                driver.set_lost(0)
    assert driver.start_workload(gpus=[0]).wait() == 3
    assert driver.start_workload(gpus=[1]).poll() is None
    assert old.poll() is None
    if how != "lost":
        before = after_ticks(driver)
        assert after_ticks(driver).total_flop > before.total_flop


def test_the_device_node_is_held_open_on_demand(driver: FakeDriver) -> None:
    holds = driver.start_workload(gpus=[1])
    without = driver.start_workload(gpus=[1], hold_device=False)
    node = driver.device_dir / "nvidia1"

    def opened(pid: int) -> list[Path]:
        return [path for path in Path(f"/proc/{pid}/fd").iterdir() if path.resolve() == node]

    assert len(opened(holds.pid)) == 1
    assert opened(without.pid) == []


def test_a_lost_gpu_executes_nothing(driver: FakeDriver) -> None:
    driver.start_workload(gpus=[0], persistent=True)
    after_ticks(driver)
    driver.set_lost(0)
    driver.wait_idle(0)
    lost = driver.truth(0)
    assert after_ticks(driver).total_flop == lost.total_flop > 0


def test_nothing_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    program = f"""
        import os, pathlib, signal
        from flopgate_sim.nvml import FakeDriver
        driver = FakeDriver(pathlib.Path({str(tmp_path)!r}), gpus=1)
        driver.start()
        job = driver.start_workload(gpus=[0], ignore_sigterm=True)
        os.kill(job.pid, signal.SIGSTOP)
        print(driver.engine_pid, job.pid, flush=True)
        os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
    )
    engine, job = map(int, done.stdout.split())
    for pid in (engine, job):
        until(partial(is_gone, pid), f"{pid} to end")


def test_a_reboot_starts_counters_from_zero(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, gpus=1)
    with driver:
        driver.start_workload(gpus=[0])
        assert after_ticks(driver).total_flop > 0
    with driver:
        assert driver.truth(0).total_flop == 0
        assert driver.last_work_ms(0) is None
        assert not driver.running(0)
