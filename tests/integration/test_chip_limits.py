"""What the driver keeps for each chip, set by the real child through the real pynvml."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from flopgate_agent.enforcement.chips import State, Wish
from flopgate_sim.nvml import NvmlError
from tests.support.chip_host import BOOT, chip_host

PROHIBITED, EXCLUSIVE = 2, 3
LOWEST_MHZ, LOWEST_MW, ALL_MW = 210, 200_000, 700_000
RUNGS = ("compute_mode", "clocks", "power")


def test_a_denied_chip_takes_no_new_context_and_lets_the_old_one_run(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        old = host.driver.start_workload(drain_ms=20)
        host.set(Wish.DENIED)
        assert host.driver.compute_mode(0) == PROHIBITED
        assert host.driver.start_workload().wait() == 3, "refused by the driver"
        before = host.driver.truth(0).total_flop
        host.driver.wait_ticks(5)
        assert host.driver.truth(0).total_flop > before, "compute mode stops nothing"
        assert old.poll() is None
        assert (host.driver.locked_mhz(0), host.driver.power_limit_mw(0)) == (0, ALL_MW)
        host.set(Wish.FREE)
        assert host.driver.compute_mode(0) == 0
        assert host.driver.start_workload().poll() is None
        assert host.told == []


def test_a_slowed_chip_computes_at_its_lowest_clock(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.driver.start_workload(persistent=True)
        host.set(Wish.SLOWED)
        assert host.driver.locked_mhz(0) == LOWEST_MHZ
        assert host.driver.power_limit_mw(0) == LOWEST_MW
        assert host.driver.truth(0).sm_clock_mhz == LOWEST_MHZ
        assert {host.state(0, rung) for rung in RUNGS} == {State.HELD}
        host.set(Wish.FREE)
        assert (host.driver.locked_mhz(0), host.driver.power_limit_mw(0)) == (0, ALL_MW)
        assert host.driver.compute_mode(0) == 0
        assert {host.state(0, rung) for rung in RUNGS} == {State.UNDONE}


def test_what_was_set_before_comes_back_also_by_the_next_gate(tmp_path: Path) -> None:
    with chip_host(tmp_path, gpus=2) as host:
        host.driver.set_power_limit(0, 500_000)
        host.driver.set_compute_mode(0, EXCLUSIVE)
        host.set(Wish.SLOWED)
        host.restart()
        host.set(Wish.SLOWED)  # what it finds is its own, not what was before
        host.restart()
        host.set(Wish.FREE)
        assert (host.driver.compute_mode(0), host.driver.power_limit_mw(0)) == (EXCLUSIVE, 500_000)
        assert (host.driver.compute_mode(1), host.driver.power_limit_mw(1)) == (0, ALL_MW)
        assert list((tmp_path / "state").glob("*.chip.json")) == []


def test_a_slowed_chip_stays_so_until_it_is_free(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.set(Wish.SLOWED)
        host.set(Wish.DENIED)
        assert host.driver.locked_mhz(0) == LOWEST_MHZ
        host.restart()
        host.set(Wish.DENIED)
        assert host.driver.locked_mhz(0) == LOWEST_MHZ
        host.set(Wish.FREE)
        assert (host.driver.locked_mhz(0), host.driver.power_limit_mw(0)) == (0, ALL_MW)


def test_the_record_is_written_before_the_act(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.driver.hang_call("nvmlDeviceSetComputeMode")
        host.limits.want(host.uuids, Wish.DENIED)
        records = tmp_path / "state"
        host.until(lambda: bool(list(records.glob("*.chip.json"))), "the record")
        (record,) = records.glob("*.chip.json")
        assert json.loads(record.read_text())["before"] == {"compute_mode": 0}
        assert host.driver.compute_mode(0) == 0


def test_a_record_that_cannot_be_written_is_told_and_nothing_is_set_until_it_can(
    tmp_path: Path,
) -> None:
    with chip_host(tmp_path, gpus=2) as host:
        draft = tmp_path / "state" / f".{host.uuids[0]}.chip.json.new"
        draft.mkdir(parents=True)
        host.limits.want(host.uuids, Wish.DENIED)
        host.until(lambda: host.driver.compute_mode(1) == PROHIBITED, "the other chip")
        host.until(lambda: bool(host.told), "word of the first one")
        (fact,) = host.told
        assert (fact.uuid, fact.rung, fact.state) == (host.uuids[0], "journal", State.REFUSED)
        assert fact.detail == "Is a directory"
        assert host.driver.compute_mode(0) == 0
        children = host.limits.pids
        draft.rmdir()
        host.until(lambda: host.driver.compute_mode(0) == PROHIBITED, "the first chip")
        assert host.limits.pids == children, "nobody died of it"


def test_a_record_of_another_boot_puts_nothing_back(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.driver.set_power_limit(0, 500_000)
        host.set(Wish.SLOWED)
        host.driver.stop()
        host.driver.start()
        assert host.driver.compute_mode(0) == 0, "a reboot resets it"
        host.restart(boot_id="22" * 16)
        host.set(Wish.FREE)
        assert host.driver.power_limit_mw(0) == ALL_MW


def test_a_damaged_record_brings_the_defaults_back_and_is_told(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.set(Wish.SLOWED)
        (record,) = (tmp_path / "state").glob("*.chip.json")
        record.write_text('{"boot_id": "' + "11" * 16 + '", "before": {"power": null}}')
        host.restart()
        host.set(Wish.FREE)
        assert host.driver.compute_mode(0) == 0
        assert (host.driver.locked_mhz(0), host.driver.power_limit_mw(0)) == (0, ALL_MW)
        assert [fact.state for fact in host.told] == [State.UNREADABLE]


def test_a_chip_cut_into_instances_refuses_and_says_so_once(tmp_path: Path) -> None:
    with chip_host(tmp_path, gpus=2) as host:
        host.driver.set_mig(0)
        host.set(Wish.DENIED)
        host.set(Wish.SLOWED)
        told = [(fact.uuid, fact.rung, fact.state, fact.detail) for fact in host.told]
        assert told == [(host.uuids[0], "compute_mode", State.REFUSED, "NOT_SUPPORTED")]
        assert host.driver.locked_mhz(0) == LOWEST_MHZ, "the other rungs stand"
        assert host.driver.compute_mode(1) == PROHIBITED


@pytest.mark.parametrize(
    ("call", "rung"),
    [
        ("nvmlDeviceSetComputeMode", "compute_mode"),
        ("nvmlDeviceGetSupportedGraphicsClocks", "clocks"),
        ("nvmlDeviceSetPowerManagementLimit", "power"),
    ],
)
def test_a_probe_changes_nothing_and_tells_what_would_not_work(
    tmp_path: Path, call: str, rung: str
) -> None:
    with chip_host(tmp_path) as host:
        host.set(Wish.PROBE)
        assert {host.state(0, rung) for rung in RUNGS} == {State.WORKS}
        host.restart()
        host.driver.fail_call(call, NvmlError.NO_PERMISSION)
        host.set(Wish.PROBE)
        assert [(fact.rung, fact.detail) for fact in host.told] == [(rung, "NO_PERMISSION")]
        assert (host.driver.compute_mode(0), host.driver.power_limit_mw(0)) == (0, ALL_MW)
        assert list(tmp_path.glob("state/*")) == []


def test_a_chip_that_a_child_left_half_set_is_freed(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.set(Wish.SLOWED)
        host.set(Wish.FREE)
        host.driver.hang_call("nvmlDeviceGetSupportedMemoryClocks")
        host.limits.want(host.uuids, Wish.SLOWED)
        host.until(lambda: host.driver.compute_mode(0) == PROHIBITED, "the first rung")
        os.kill(host.limits.pids[0], signal.SIGKILL)
        host.limits.want(host.uuids, Wish.FREE)
        assert host.limits.pending(host.uuids)
        host.until(lambda: not host.limits.pending(host.uuids), "it to be free")
        assert host.driver.compute_mode(0) == 0


def test_an_undo_that_fails_is_told_and_tried_until_it_holds(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.set(Wish.DENIED)
        host.driver.fail_call("nvmlDeviceSetComputeMode", NvmlError.UNKNOWN)
        host.limits.want(host.uuids, Wish.FREE)
        host.until(lambda: bool(host.told), "the failure to be told")
        host.now_ms += 10_000
        host.turn()
        assert host.limits.pending(host.uuids), "the driver gives no context yet"
        host.driver.clear_faults()
        host.until(lambda: host.limits.idle, "it to be tried again")
        assert host.driver.compute_mode(0) == 0
        assert not host.limits.pending(host.uuids)
        told = [(fact.rung, fact.state, fact.detail) for fact in host.told]
        assert told == [("compute_mode", State.REFUSED, "UNKNOWN")]


@pytest.mark.parametrize("how", ["hangs", "fails"])
def test_a_chip_that_nobody_held_shuts_nobody_out_for_long(tmp_path: Path, how: str) -> None:
    with chip_host(tmp_path, answer_ms_max=5_000) as host:
        if how == "hangs":
            host.driver.hang_call("nvmlDeviceGetHandleByUUID")
        else:
            host.driver.fail_call("nvmlDeviceGetHandleByUUID", NvmlError.GPU_IS_LOST)
        host.limits.want(host.uuids, Wish.FREE)
        assert host.limits.pending(host.uuids)
        host.until(lambda: bool(host.told), "it to be told")
        assert not host.limits.pending(host.uuids)
        host.driver.clear_faults()
        host.until(lambda: host.limits.idle, "it to be tried again")


@pytest.mark.parametrize("refusal", [NvmlError.NOT_SUPPORTED, NvmlError.NO_PERMISSION])
def test_what_the_driver_never_set_needs_no_undo(tmp_path: Path, refusal: NvmlError) -> None:
    with chip_host(tmp_path) as host:
        host.driver.fail_call("nvmlDeviceSetComputeMode", refusal)
        host.driver.fail_call("nvmlDeviceResetGpuLockedClocks", refusal)
        host.driver.fail_call("nvmlDeviceSetGpuLockedClocks", refusal)
        host.set(Wish.SLOWED)
        host.set(Wish.FREE)
        assert not host.limits.pending(host.uuids)
        assert {fact.rung for fact in host.told} == {"compute_mode", "clocks"}


def test_without_a_record_what_is_held_already_goes_back_to_the_defaults(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.set(Wish.SLOWED)
        for record in (tmp_path / "state").glob("*.chip.json"):
            record.unlink()
        host.restart()
        host.set(Wish.SLOWED)
        host.set(Wish.FREE)
        assert (host.driver.compute_mode(0), host.driver.power_limit_mw(0)) == (0, ALL_MW)
        told = {(fact.rung, fact.state) for fact in host.told}
        assert told == {("compute_mode", State.UNREADABLE), ("power", State.UNREADABLE)}


def test_a_setter_that_says_yes_and_does_nothing_is_found_out(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.driver.ignore_setter("nvmlDeviceSetGpuLockedClocks")
        host.driver.start_workload(persistent=True)
        host.set(Wish.SLOWED)
        told = [(fact.rung, fact.state) for fact in host.told]
        assert told == [("clocks", State.NOT_IN_FORCE)]


def test_a_chip_that_hangs_costs_the_others_nothing(tmp_path: Path) -> None:
    with chip_host(tmp_path, gpus=3, answer_ms_max=20_000) as host:
        host.driver.hang_call("nvmlDeviceSetComputeMode", gpu=1)
        host.limits.want(host.uuids, Wish.DENIED)
        host.until(lambda: bool(host.told), "the hung chip to be told")
        assert host.told[0].uuid == host.uuids[1]
        assert host.told[0].detail == "HANGS"
        host.until(lambda: host.driver.compute_mode(2) == PROHIBITED, "the chip behind it")
        assert host.driver.compute_mode(0) == PROHIBITED
        host.driver.clear_faults()
        host.until(lambda: host.limits.idle, "the hung chip to be tried again")
        assert host.driver.compute_mode(1) == PROHIBITED
        assert len(host.told) == 1, "told once"


def test_whoever_opens_a_held_chip_is_found_out_at_the_next_renewal(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.set(Wish.DENIED)
        host.driver.set_compute_mode(0, 0)
        host.now_ms += 60_000
        host.until(lambda: host.driver.compute_mode(0) == PROHIBITED, "it to be set again")
        host.until(lambda: host.limits.idle, "the answer")
        assert [(one.rung, one.state) for one in host.told] == [
            ("compute_mode", State.FOUND_UNDONE)
        ]
        assert host.state(0, "compute_mode") == State.HELD


def test_a_clock_that_goes_back_puts_no_renewal_off(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.now_ms = 3_600_000
        host.set(Wish.DENIED)
        host.driver.set_compute_mode(0, 0)
        host.now_ms = 0
        host.turn()
        host.now_ms = 60_000
        host.until(lambda: host.driver.compute_mode(0) == PROHIBITED, "it to be set again")


def test_what_a_hung_child_had_set_before_it_was_killed_is_undone(tmp_path: Path) -> None:
    with chip_host(tmp_path, answer_ms_max=5_000) as host:
        host.set(Wish.FREE)
        host.driver.hang_call("nvmlDeviceSetGpuLockedClocks")
        host.limits.want(host.uuids, Wish.SLOWED)
        host.until(lambda: bool(host.told), "the hung child to be given up")
        assert host.driver.compute_mode(0) == PROHIBITED
        host.driver.clear_faults()
        host.set(Wish.FREE)
        assert host.driver.compute_mode(0) == 0


def test_what_somebody_else_closes_after_a_chip_was_opened_is_opened_again(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        host.set(Wish.FREE)
        late = host.gate()
        late.want(host.uuids, Wish.DENIED)
        while not late.idle:
            late.handle_timer(0)
        late.close()
        assert host.driver.compute_mode(0) == PROHIBITED
        host.until(lambda: host.driver.compute_mode(0) == 0, "the chip to be opened again")


def test_a_record_that_no_rung_understands_is_not_undone_for_ever(tmp_path: Path) -> None:
    with chip_host(tmp_path) as host:
        record = tmp_path / "state" / f"{host.uuids[0]}.chip.json"
        record.parent.mkdir()
        before = {"compute_mode": 0, "of another version": 7}
        record.write_text(json.dumps({"boot_id": BOOT, "before": before}))
        host.set(Wish.FREE)
        for _ in range(30):
            host.turn()
        host.until(lambda: host.limits.idle and not host.limits.pids, "the child to end")
        for _ in range(30):
            host.turn()
            assert not host.limits.pids
        assert json.loads(record.read_text())["before"] == {"of another version": 7}
