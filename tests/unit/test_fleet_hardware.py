"""Simulated GPUs outlive their gate: found again, they are as if nobody had gone."""

from collections.abc import Callable
from pathlib import Path

from flopgate_agent.gate.actions import Freeze, Thaw
from flopgate_proto.limits import COUNT_MAX
from flopgate_sim.fleet.gpu import SimulatedGpu
from flopgate_sim.fleet.hardware import Hardware

DRAIN_MS = 50
WORKLOAD = "training-run-7"


def gpus(*, busy: bool = True) -> list[SimulatedGpu]:
    return [SimulatedGpu("GPU-0", 1000, share_percent=50, drain_ms=DRAIN_MS, busy=busy)]


def at(now_ms: int) -> Callable[[], int]:
    return lambda: now_ms


def test_found_again_they_count_on_as_if_nobody_had_gone(tmp_path: Path) -> None:
    kept, other = Hardware(gpus(), tmp_path / "gpus.json"), Hardware(gpus())
    for hardware in (kept, other):
        hardware.hand(at(1500)).carry_out(Freeze(workload=WORKLOAD, pids=(1,)))
        hardware.hand(at(2000)).carry_out(Thaw(workload=WORKLOAD, until_ms=9000))
    # What happens now is in no file: counters follow from the time.
    kept.gpus[0].sample(2500)
    found = Hardware.found(tmp_path / "gpus.json")
    assert found is not None
    assert found.gpus[0].sample(7000) == other.gpus[0].sample(7000)
    assert found.gpus[0].truth_flop == other.gpus[0].truth_flop > 0
    assert found.gpus[0].last_work_ms == 7000


def test_an_order_is_kept_before_anybody_can_be_killed(tmp_path: Path) -> None:
    hardware = Hardware(gpus(), tmp_path / "gpus.json")
    hardware.hand(at(1500)).carry_out(Freeze(workload=WORKLOAD, pids=(1,)))
    found = Hardware.found(tmp_path / "gpus.json")
    assert found is not None
    assert not found.gpus[0].sample(9000).pids
    assert found.gpus[0].last_work_ms == 1500 + DRAIN_MS


def test_where_nothing_was_kept_nothing_is_found(tmp_path: Path) -> None:
    assert Hardware.found(tmp_path / "gpus.json") is None


def test_a_job_that_waits_begins_with_permission() -> None:
    hardware = Hardware(gpus(busy=False))
    # What a gate says whose host nobody has admitted yet.
    hardware.hand(at(1500)).carry_out(Thaw(workload=WORKLOAD, until_ms=COUNT_MAX))
    hardware.gpus[0].advance(2000)
    assert hardware.gpus[0].truth_flop == 0
    hardware.hand(at(2000)).carry_out(Thaw(workload=WORKLOAD, until_ms=9000))
    hardware.gpus[0].advance(3000)
    assert hardware.gpus[0].truth_flop > 0
