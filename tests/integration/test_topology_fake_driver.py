"""The real topology child with the real pynvml on the fake driver, for each kind of host."""

import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from flopgate_agent.counters.topology_client import TopologyClient
from flopgate_proto.values import ChipTopology, NvLinkPeer, Topology
from flopgate_sim.nvml import FakeDriver, NvmlError
from flopgate_sim.nvml.values import Profile
from tests.support.topology_host import INFINIBAND, answer, client, read, write_port

NOT_BEFORE_HOPPER = "fabric=NOT_SUPPORTED platform=NOT_SUPPORTED"
NO_PLATFORM = "platform=NOT_SUPPORTED"
UNKNOWN = {
    "A100": NOT_BEFORE_HOPPER,
    "H100": NO_PLATFORM,
    "H200": NO_PLATFORM,
    "B200": "",
}
FABRIC = bytes(range(1, 17))
EVERY_CALL = (
    "nvmlDeviceGetGpuFabricInfoV",
    "nvmlDeviceGetPlatformInfo",
    "nvmlDeviceGetNvLinkState",
    "nvmlDeviceGetNvLinkRemoteDeviceType",
    "nvmlDeviceGetNvLinkRemotePciInfo_v2",
    "nvmlDeviceGetFieldValues",
)


@pytest.mark.parametrize(
    ("profile", "links", "switches", "rate_mbit_per_s"),
    [
        ("A100", 12, 6, 200_000),
        ("H100", 18, 4, 212_496),
        ("H200", 18, 4, 212_496),
        ("B200", 18, 2, 425_000),
    ],
)
def test_a_board_with_switches(
    tmp_path: Path, profile: Profile, links: int, switches: int, rate_mbit_per_s: int
) -> None:
    with FakeDriver(tmp_path, profile, gpus=2) as driver:
        seen = read(driver, tmp_path)
        assert [chip.uuid for chip in seen.chips] == sorted(driver.uuid(gpu) for gpu in range(2))
    assert (seen.ports, seen.unknown) == ((), "")
    for chip in seen.chips:
        assert {peer.kind for peer in chip.peers} == {"switch"}
        assert {peer.rate_mbit_per_s for peer in chip.peers} == {rate_mbit_per_s}
        assert (sum(peer.links for peer in chip.peers), len(chip.peers)) == (links, switches)
        assert (chip.fabric_cluster_uuid, chip.fabric_clique) == (b"", None)
        assert chip.unknown == UNKNOWN[profile]


def test_v100_names_its_peers_by_uuid_and_each_link_from_both_ends(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, "V100", gpus=8) as driver:
        chips = read(driver, tmp_path).chips
    ends = Counter({(c.uuid, peer.peer): peer.links for c in chips for peer in c.peers})
    assert all(ends[far, near] == links for (near, far), links in ends.items())
    assert [sum(peer.links for peer in chip.peers) for chip in chips] == [6] * 8
    assert {peer.kind for chip in chips for peer in chip.peers} == {"gpu"}


def test_a_consumer_card_has_no_links(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, "RTX4090", gpus=1) as driver:
        (chip,) = read(driver, tmp_path).chips
        assert chip == ChipTopology(uuid=driver.uuid(0), unknown=NOT_BEFORE_HOPPER)


def test_hosts_of_one_rack_name_one_fabric_and_one_chassis(tmp_path: Path) -> None:
    seen = []
    for name in ("one", "two"):
        with FakeDriver(
            tmp_path / name, "B200", gpus=4, fabric_uuid=FABRIC, fabric_clique=3
        ) as driver:
            seen.append(read(driver, tmp_path))
    chips = [chip for topology in seen for chip in topology.chips]
    assert {(chip.fabric_cluster_uuid, chip.fabric_clique) for chip in chips} == {(FABRIC, 3)}
    assert len({chip.chassis_serial for chip in chips}) == 1
    assert all(len(chip.chassis_serial) == 13 for chip in chips)
    assert len({chip.platform_guid for chip in chips}) == 8
    assert sorted(chip.module or 0 for chip in seen[0].chips) == [1, 2, 3, 4]
    # Switches of the rack are no PCI devices of the host: how many, but not which.
    assert {chip.peers for chip in chips} == {
        (NvLinkPeer(kind="switch", peer="", links=18, rate_mbit_per_s=425_000),)
    }
    assert {chip.unknown for chip in chips} == {"peer=NONSENSE"}


def test_a_driver_without_version_3_is_asked_for_version_2(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, "H100", gpus=1, fabric_uuid=FABRIC) as driver:
        driver.set_fabric_v2_only(0)
        (chip,) = read(driver, tmp_path).chips
    assert (chip.fabric_cluster_uuid, chip.fabric_clique) == (FABRIC, 0)


def test_a_link_that_is_down_leads_nowhere(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, "H100", gpus=1) as driver:
        for link in (0, 4):
            driver.set_link_down(0, link)
        (chip,) = read(driver, tmp_path).chips
    assert sum(peer.links for peer in chip.peers) == 16
    assert chip.unknown == NO_PLATFORM


def test_calls_that_a_driver_lacks_are_unknown(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, "H100", gpus=1, missing=EVERY_CALL) as driver:
        (chip,) = read(driver, tmp_path).chips
        assert chip == ChipTopology(
            uuid=driver.uuid(0),
            unknown="fabric=FUNCTION_NOT_FOUND platform=FUNCTION_NOT_FOUND "
            "state=FUNCTION_NOT_FOUND",
        )


@pytest.mark.parametrize(
    ("call", "unknown"),
    [
        ("nvmlDeviceGetGpuFabricInfoV", "fabric=UNKNOWN platform=NOT_SUPPORTED"),
        ("nvmlDeviceGetPlatformInfo", "platform=UNKNOWN"),
        ("nvmlDeviceGetNvLinkState", "platform=NOT_SUPPORTED state=UNKNOWN"),
        ("nvmlDeviceGetNvLinkRemoteDeviceType", "platform=NOT_SUPPORTED type=UNKNOWN"),
        ("nvmlDeviceGetNvLinkRemotePciInfo_v2", "peer=UNKNOWN platform=NOT_SUPPORTED"),
        ("nvmlDeviceGetFieldValues", "platform=NOT_SUPPORTED rate=NOT_TOLD"),
    ],
)
def test_a_call_that_fails_leaves_the_rest(tmp_path: Path, call: str, unknown: str) -> None:
    with FakeDriver(tmp_path, "H100", gpus=1) as driver:
        driver.fail_call(call, NvmlError.UNKNOWN)
        (chip,) = read(driver, tmp_path).chips
    assert chip.unknown == unknown
    links = sum(peer.links for peer in chip.peers)
    assert links == (0 if call == "nvmlDeviceGetNvLinkState" else 18)


@pytest.mark.parametrize(
    ("call", "unknown"),
    [
        ("nvmlDeviceGetGpuFabricInfoV", "fabric=NONSENSE peer=NONSENSE"),
        ("nvmlDeviceGetPlatformInfo", "peer=NONSENSE platform=NONSENSE"),
        ("nvmlDeviceGetNvLinkState", "state=NONSENSE"),
        ("nvmlDeviceGetNvLinkRemoteDeviceType", "peer=NONSENSE type=NONSENSE"),
        ("nvmlDeviceGetNvLinkRemotePciInfo_v2", "peer=NONSENSE"),
        ("nvmlDeviceGetFieldValues", "peer=NONSENSE rate=NOT_TOLD"),
    ],
)
def test_nonsense_enters_no_topology(tmp_path: Path, call: str, unknown: str) -> None:
    with FakeDriver(tmp_path, "B200", gpus=1, fabric_uuid=FABRIC) as driver:
        driver.garble_call(call)
        (chip,) = read(driver, tmp_path).chips
    assert chip.unknown == unknown
    assert chip.fabric_cluster_uuid in {FABRIC, b""}
    assert chip.platform_guid != b"\xff" * 16
    assert {peer.kind for peer in chip.peers} <= {"switch", ""}
    assert {peer.rate_mbit_per_s for peer in chip.peers} <= {425_000, None}


def test_a_driver_that_is_gone_still_leaves_the_ports(tmp_path: Path) -> None:
    write_port(tmp_path, "mlx5_0", 1, INFINIBAND)
    with FakeDriver(tmp_path, gpus=1) as driver:
        driver.set_driver_gone()
        seen = read(driver, tmp_path)
    assert (seen.chips, len(seen.ports)) == ((), 1)
    assert seen.unknown == "chips=DRIVER_NOT_LOADED"


def test_a_chip_that_is_lost_is_missed(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=2) as driver:
        driver.set_lost(0)
        seen = read(driver, tmp_path)
        assert [chip.uuid for chip in seen.chips] == [driver.uuid(1)]
    assert seen.unknown == "chips=GPU_IS_LOST"


def test_a_call_that_hangs_is_given_up_and_asked_again_later(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=1) as driver:
        reader = client(driver, tmp_path, every_ms=10_000, answer_ms_max=2_000)
        driver.hang_call("nvmlDeviceGetNvLinkState")
        assert reader.handle_timer(0) is None
        assert reader.handle_timer(1_999) is None
        assert answer(reader, 2_000) == "no answer in 2000 ms"
        _gone(reader, 2_000)
        driver.clear_faults()
        assert reader.handle_timer(9_999) is None
        assert reader.pid is None
        assert isinstance(answer(reader, 10_000), Topology)
        reader.close()


def test_a_gate_that_stops_takes_its_child_along(tmp_path: Path) -> None:
    with FakeDriver(tmp_path, gpus=1) as driver:
        driver.hang_call("nvmlDeviceGetNvLinkState")
        reader = client(driver, tmp_path)
        reader.handle_timer(0)
        child = reader.pid
        reader.close()
        assert child is not None
        assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit(3)", "exit status 3"),
        ("print('nonsense')", "not a Topology message"),
        ("import sys; sys.stdout.write('x' * 70_000)", "message of 65537 bytes"),
    ],
)
def test_a_child_that_says_no_topology(program: str, why: str) -> None:
    reader = TopologyClient(env=os.environ, command=(sys.executable, "-c", program))
    said = answer(reader)
    assert isinstance(said, str)
    assert said.startswith(why)
    reader.close()


def test_a_child_that_cannot_be_started() -> None:
    reader = TopologyClient(env={}, command=("/nonexistent/python",))
    said = reader.handle_timer(0)
    assert isinstance(said, str)
    assert said.startswith("cannot start")
    assert reader.handle_timer(1) is None
    reader.close()


def _gone(reader: TopologyClient, now_ms: int) -> None:
    while reader.pid is not None:
        assert reader.handle_timer(now_ms) is None
        time.sleep(0.01)
