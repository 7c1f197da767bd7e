"""Ports from directory trees as the kernel shows them."""

from pathlib import Path

import pytest

from flopgate_agent.counters.ports import read_ports
from flopgate_proto.limits import PORTS_MAX
from flopgate_proto.values import Port
from tests.support.topology_host import ETHERNET, INFINIBAND, write_port

PREFIX = 0xFE80 << 48
NODE = 0xA088_C203_0012_3456
ACTIVE = Port(
    number=1,
    link_layer="InfiniBand",
    node_guid=NODE,
    active=True,
    guid=NODE + 1,
    rate_mbit_per_s=400_000,
    subnet_prefix=PREFIX,
    lid=0x1A,
    subnet_manager_lid=1,
)


def one(sysfs: Path) -> Port:
    (port,), why = read_ports(sysfs)
    assert not why
    return port


def test_a_port_in_a_subnet(tmp_path: Path) -> None:
    write_port(tmp_path, "mlx5_0", 1, INFINIBAND)
    assert one(tmp_path) == ACTIVE


@pytest.mark.parametrize(
    ("lid", "lmc", "manager", "own"),
    [
        ("0x1a", "0", "0x1a", True),
        ("0x1a", "2", "0x1d", True),
        ("0x1a", "2", "0x1e", False),
        ("0x1a", "2", "0x19", False),
        ("0x1a", "200", "0x1b", False),
        ("0x1a", "many", "0x1b", False),
    ],
)
def test_the_manager_behind_this_port_is_known_by_guid(
    tmp_path: Path, lid: str, lmc: str, manager: str, *, own: bool
) -> None:
    files = INFINIBAND | {"lid": lid, "lid_mask_count": lmc, "sm_lid": manager}
    write_port(tmp_path, "mlx5_0", 1, files)
    assert one(tmp_path).subnet_manager_guid == (NODE + 1 if own else None)


def test_a_port_without_a_cable_has_no_lid_and_says_so(tmp_path: Path) -> None:
    down = {"state": "1: DOWN", "rate": "2.5 Gb/sec (1X SDR)", "lid": "0x0", "sm_lid": "0x0"}
    write_port(tmp_path, "mlx5_0", 1, INFINIBAND | down)
    port = one(tmp_path)
    assert (port.active, port.rate_mbit_per_s, port.lid) == (False, 2_500, None)
    assert port.unknown == "lid=NONSENSE sm_lid=NONSENSE"


def test_an_ethernet_port_has_no_subnet(tmp_path: Path) -> None:
    write_port(tmp_path, "mlx5_bond_0", 1, ETHERNET)
    assert one(tmp_path) == Port(
        number=1,
        link_layer="Ethernet",
        node_guid=NODE,
        active=True,
        guid=0xA288_C2FF_FE12_3457,
        rate_mbit_per_s=200_000,
    )


def test_an_address_of_the_operators_network_is_not_passed_on(tmp_path: Path) -> None:
    mapped = "0000:0000:0000:0000:0000:ffff:0a00:0001"
    write_port(tmp_path, "mlx5_0", 1, ETHERNET | {"gids/0": mapped})
    port = one(tmp_path)
    assert (port.guid, port.subnet_prefix) == (None, None)
    assert port.unknown == "gids/0=NONSENSE"


def test_what_is_missing_or_nonsense_is_named(tmp_path: Path) -> None:
    files = INFINIBAND | {"rate": "-1 Gb/sec", "state": "9: DREAMING", "link_layer": "Token ring"}
    del files["gids/0"]
    write_port(tmp_path, "mlx5_0", 1, files, node_guid="0000:0000:0000:0000")
    assert one(tmp_path) == Port(
        number=1,
        unknown="gids/0=ENOENT link_layer=NONSENSE node_guid=NONSENSE rate=NONSENSE state=NONSENSE",
    )


def test_a_file_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    rate = write_port(tmp_path, "mlx5_0", 1, INFINIBAND) / "rate"
    rate.unlink()
    rate.mkdir()
    port = one(tmp_path)
    assert (port.rate_mbit_per_s, port.unknown) == (None, "rate=EISDIR")


def test_ports_come_by_adapter_and_number(tmp_path: Path) -> None:
    for adapter, number in (("mlx5_1", 1), ("mlx5_0", 10), ("mlx5_0", 2)):
        write_port(tmp_path, adapter, number, INFINIBAND)
    (tmp_path / "class/infiniband/mlx5_0/ports/300").mkdir()
    (tmp_path / "class/infiniband/mlx5_0/ports/many").mkdir()
    ports, why = read_ports(tmp_path)
    assert ([port.number for port in ports], why) == ([2, 10, 1], "")


def test_adapters_are_links_in_the_kernels_tree(tmp_path: Path) -> None:
    write_port(tmp_path / "devices", "mlx5_0", 1, INFINIBAND)
    (tmp_path / "class/infiniband").mkdir(parents=True)
    target = tmp_path / "devices/class/infiniband/mlx5_0"
    (tmp_path / "class/infiniband/mlx5_0").symlink_to(target)
    assert one(tmp_path) == ACTIVE


def test_a_kernel_without_such_hardware_has_no_ports(tmp_path: Path) -> None:
    assert read_ports(tmp_path) == ((), "")


def test_a_list_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class/infiniband").write_text("")
    assert read_ports(tmp_path) == ((), "ENOTDIR")


def test_an_adapter_without_ports_is_told_beside_the_others(tmp_path: Path) -> None:
    write_port(tmp_path, "mlx5_0", 1, INFINIBAND)
    (tmp_path / "class/infiniband/mlx5_1").mkdir()
    write_port(tmp_path, "mlx5_2", 1, INFINIBAND)
    ports, why = read_ports(tmp_path)
    assert (len(ports), why) == (2, "ENOENT")


def test_more_ports_than_a_report_takes(tmp_path: Path) -> None:
    for number in range(1, 256):
        write_port(tmp_path, "mlx5_0", number, {})
    for number in (1, 2):
        write_port(tmp_path, "mlx5_1", number, {})
    ports, why = read_ports(tmp_path)
    assert (len(ports), why) == (PORTS_MAX, "TOO_MANY")
