"""Chips keep the indices of their enrolment, and one that is lost stays on the books (law 3)."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.config import GateConfig, LaneConfig
from flopgate_agent.counters.sample import ChipIdentity as NvmlIdentity
from flopgate_agent.gate.lifecycle.enrolling import enrolled_chips
from flopgate_agent.gate.memory import Memory
from flopgate_agent.gate_process.host import load_or_make_key, read_clocks
from flopgate_agent.gate_process.host_chips import chips_of
from flopgate_agent.gate_process.host_settings import lane_globs, make_settings
from flopgate_agent.gate_process.identity import Identity
from flopgate_agent.private import KEY_BYTES_MAX
from flopgate_proto.errors import ConfigError, StorageError
from flopgate_proto.values import ChipIdentity
from tests.support.fixed import HOST_KEY
from tests.support.gate_hardware import H100_NAME, H100_PCI_ID, UUID
from tests.support.gate_rig import running, settings

IDENTITY = Identity(signer=HOST_KEY)
ENROLLED = tuple(chip.identity for chip in settings(3).chips)


def nvml(number: int) -> NvmlIdentity:
    return NvmlIdentity(
        uuid=UUID.format(number),
        serial=None,
        pdi=None,
        nvml_name=H100_NAME,
        pci_device_id=H100_PCI_ID,
        index=7 - number,
        minor=number,
        max_sm_clock_mhz=1980,
        gpm=True,
    )


def uuids(found: list[NvmlIdentity], enrolled: tuple[ChipIdentity, ...]) -> list[str]:
    return [chip.identity.uuid for chip in chips_of(found, enrolled)]


def test_law_3_another_order_of_the_driver_changes_no_index() -> None:
    found = [nvml(2), nvml(0), nvml(1)]
    assert uuids(found, ENROLLED) == [chip.uuid for chip in ENROLLED]


def test_law_3_a_chip_that_is_lost_stays() -> None:
    assert uuids([nvml(0), nvml(2)], ENROLLED) == [chip.uuid for chip in ENROLLED]
    lost = chips_of([nvml(0), nvml(2)], ENROLLED)[1]
    assert lost.spec.model == settings().chips[0].spec.model


def test_a_chip_that_was_never_enrolled_comes_last() -> None:
    found = [nvml(9), nvml(0), nvml(1), nvml(2)]
    assert uuids(found, ENROLLED) == [*(chip.uuid for chip in ENROLLED), UUID.format(9)]


def test_a_new_host_takes_the_order_of_the_driver() -> None:
    assert uuids([nvml(2), nvml(0)], ()) == [UUID.format(2), UUID.format(0)]


def test_the_ledger_tells_which_chips_are_enrolled() -> None:
    rig = running(base=settings(3))
    assert enrolled_chips(rig.ledger.load()) == ENROLLED
    assert enrolled_chips(Memory()) == ()


def config(folder: Path, *lanes: LaneConfig) -> GateConfig:
    return GateConfig(state_dir=folder, door_path=folder / "door", courier_uids=(0,), lanes=lanes)


def test_a_lane_may_name_a_chip_that_is_lost(tmp_path: Path) -> None:
    lane = LaneConfig(workload="run-7", chips=(UUID.format(1),))
    made = make_settings(config(tmp_path, lane), [nvml(0), nvml(2)], "580", ENROLLED, IDENTITY)
    assert made.lanes[0].chips == (1,)
    assert lane_globs(config(tmp_path, lane), made, [nvml(0), nvml(2)])["run-7"] == []


def test_device_nodes_follow_the_chip_and_not_its_index(tmp_path: Path) -> None:
    lane = LaneConfig(workload="run-7", chips=(UUID.format(2),))
    found = [nvml(2), nvml(0), nvml(1)]
    made = make_settings(config(tmp_path, lane), found, "580", ENROLLED, IDENTITY)
    assert lane_globs(config(tmp_path, lane), made, found)["run-7"] == ["/dev/nvidia2"]


def test_a_lane_of_an_unknown_chip_is_refused(tmp_path: Path) -> None:
    lane = LaneConfig(workload="run-7", chips=("GPU-unknown",))
    with pytest.raises(ConfigError) as error:
        make_settings(config(tmp_path, lane), [nvml(0)], "580", (), IDENTITY)
    assert error.value.code == "config.lane.chip"


def test_the_host_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "host.key"
    first = load_or_make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make_key(path).spki == first.spki
    assert [one.name for one in tmp_path.iterdir()] == ["host.key"]


def test_a_host_key_that_cannot_be_kept_is_told_and_used_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as error:
        load_or_make_key(tmp_path / "gone" / "host.key")
    assert error.value.code == "key.disk"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_host_key_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "host.key"
    load_or_make_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError) as error:
        load_or_make_key(path)
    assert error.value.code == "key.permissions"


def test_a_host_key_is_read_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "host.key"
    load_or_make_key(path)
    with path.open("ab") as file:
        file.write(b"\n" * KEY_BYTES_MAX)
    with pytest.raises(ConfigError) as error:
        load_or_make_key(path)
    assert error.value.code == "key.oversized"


def test_gate_and_sampler_read_one_clock() -> None:
    before = elapsed_ms()
    now = read_clocks().elapsed_ms
    assert before <= now <= elapsed_ms()
