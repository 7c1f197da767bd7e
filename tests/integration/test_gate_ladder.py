"""The rungs below the freeze, by a real gate process on fake GPUs."""

from __future__ import annotations

from pathlib import Path

from flopgate_agent.enforcement.jobs import lane_id
from flopgate_proto.values import LaneState
from tests.support.gate_host import GateHost
from tests.support.waiting import until

PROHIBITED = 2


def test_a_halted_lane_takes_no_job_and_the_next_gate_puts_all_back(tmp_path: Path) -> None:
    with GateHost(tmp_path, {"stopped": [0]}, gpus=1) as host:
        driver = host.driver
        driver.set_power_limit(0, 500_000)
        host.start()
        host.until_state("stopped", LaneState.RUNNING)
        job = host.compute(drain_ms=50)

        pause = host.authority.pause(emergency=True)
        host.courier.order(pause)
        host.until_state("stopped", LaneState.HALTED)
        until(lambda: driver.power_limit_mw(0) == 200_000, "the lowest power limit")
        assert driver.compute_mode(0) == PROHIBITED
        assert driver.locked_mhz(0) == 210
        assert driver.start_workload(gpus=[0]).wait() == 3, "refused by the driver"
        assert job.poll() is None

        host.kill_gate()
        host.start()
        host.until_state("stopped", LaneState.HALTED)
        host.courier.order(host.authority.resume(pause.digest))
        host.until_state("stopped", LaneState.RUNNING)
        until(lambda: not driver.locked_mhz(0), "the clocks to be free")
        until(lambda: driver.power_limit_mw(0) == 500_000, "the power limit of before")
        until(lambda: not driver.compute_mode(0), "the chip to be open")
        done = driver.truth(0).total_flop
        until(lambda: driver.truth(0).total_flop > done, "the job to go on")
        assert host.stop_gate() == 0


def test_a_job_may_read_how_long_it_has(tmp_path: Path) -> None:
    with GateHost(tmp_path, {"run-7": [0]}, gpus=1) as host:
        host.start()
        host.until_state("run-7", LaneState.RUNNING)
        host.compute(drain_ms=50)
        host.courier.order(host.authority.pause())
        notice = host.door.parent / f"{lane_id('run-7')}.notice.json"
        until(notice.exists, "the notice")
        assert notice.stat().st_mode & 0o777 == 0o644


def test_a_gate_that_nobody_admitted_gives_back_what_the_one_before_took(tmp_path: Path) -> None:
    with GateHost(tmp_path, {"stopped": [0]}, gpus=1) as host:
        driver = host.driver
        host.start()
        host.until_state("stopped", LaneState.RUNNING)
        job = host.compute(drain_ms=50)
        host.courier.order(host.authority.pause(emergency=True))
        host.until_state("stopped", LaneState.HALTED)
        until(lambda: driver.locked_mhz(0) == 210, "the lowest clocks")
        host.kill_gate()
        for file in host.state.glob("ledger.sqlite*"):
            file.unlink()
        done = driver.truth(0).total_flop
        host.launch()
        until(lambda: not driver.locked_mhz(0), "the clocks to be free")
        until(lambda: not driver.compute_mode(0), "the chip to be open again")
        until(lambda: driver.truth(0).total_flop > done, "the job to go on")
        assert job.poll() is None


def test_the_held_job_of_a_renamed_lane_goes_on_once_its_heir_may(tmp_path: Path) -> None:
    with GateHost(tmp_path, {"first": [0]}, gpus=1) as host:
        driver = host.driver
        host.start()
        host.until_state("first", LaneState.RUNNING)
        job = host.compute(drain_ms=50)
        pause = host.authority.pause(emergency=True)
        host.courier.order(pause)
        host.until_state("first", LaneState.HALTED)
        host.kill_gate()
        config = host.config.read_text(encoding="utf-8")
        host.config.write_text(config.replace("first", "second"), encoding="utf-8")
        host.start()
        host.until_state("second", LaneState.HALTED)
        host.courier.order(host.authority.resume(pause.digest))
        host.until_state("second", LaneState.RUNNING)
        done = driver.truth(0).total_flop
        until(lambda: driver.truth(0).total_flop > done, "the job to go on")
        assert job.poll() is None
