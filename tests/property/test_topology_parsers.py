"""Whatever sysfs and NVML say: a topology that the codec takes back, never another error."""

import struct
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.counters.links import fabric_of, pci_address, platform_of, told
from flopgate_agent.counters.ports import (
    active_of,
    gid_of,
    guid_of,
    lid_of,
    port_of,
    rate_mbit_per_s,
)
from flopgate_proto.codec import decode_topology, encode_topology
from flopgate_proto.errors import MalformedError
from flopgate_proto.limits import TEXT_BYTES_MAX
from flopgate_proto.values import ChipTopology, Topology
from tests.support.strategies import TOPOLOGIES
from tests.support.topology_host import ETHERNET, INFINIBAND, NODE_GUID

CONTENTS = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.decode("ascii", "replace").strip()),
    st.sampled_from(sorted({*INFINIBAND.values(), *ETHERNET.values(), NODE_GUID})),
)
FILES = st.dictionaries(st.sampled_from(sorted({*INFINIBAND, "node_guid"})), CONTENTS)
REASONS = st.sampled_from(("EIO", "ENOENT", "EACCES"))
FABRIC_BYTES = st.one_of(
    st.binary(min_size=36, max_size=40),
    st.builds(
        struct.Struct("<4s16sIIB3sI").pack,
        st.binary(min_size=4, max_size=4),
        st.sampled_from((bytes(16), b"\xff" * 16)) | st.binary(min_size=16, max_size=16),
        st.sampled_from((0, 999)),
        st.integers(0, 2**32 - 1),
        st.integers(0, 4),
        st.binary(min_size=3, max_size=3),
        st.integers(0, 2**32 - 1),
    ),
)


@given(FILES, st.dictionaries(st.sampled_from(sorted(INFINIBAND)), REASONS))
def test_any_files_make_a_port_that_says_what_it_lacks(
    files: dict[str, str], failed: dict[str, str]
) -> None:
    port = port_of(1, {name: files[name] for name in {*files} - {*failed}}, failed)
    topology = Topology(ports=(port,))
    assert decode_topology(encode_topology(topology)) == topology
    assert port.guid != 0
    assert port.node_guid != 0
    assert port.rate_mbit_per_s != 0
    if port.link_layer != "InfiniBand":
        assert (port.lid, port.subnet_prefix, port.subnet_manager_lid) == (None, None, None)
    for name in {"state", "rate", "node_guid"} & {*failed}:
        assert f"{name}={failed[name]}" in port.unknown.split(" ")


@given(st.text(max_size=60))
def test_each_parser_takes_any_text(text: str) -> None:
    for parse in (active_of, gid_of, guid_of, lid_of, rate_mbit_per_s, pci_address):
        parse(text)


@given(st.integers(1, 2**64 - 1))
def test_a_guid_is_read_as_the_kernel_writes_it(guid: int) -> None:
    digits = f"{guid:016x}"
    words = ":".join(digits[at : at + 4] for at in range(0, 16, 4))
    assert guid_of(words) == guid
    assert gid_of(f"fe80:0000:0000:0001:{words}") == (0xFE80_0000_0000_0001, guid)


@given(FABRIC_BYTES)
def test_a_fabric_is_known_whole_or_unknown_with_a_reason(raw: bytes) -> None:
    uuid, clique, why = fabric_of(raw, str)
    assert len(uuid) in {0, 16}
    assert (clique is None) == (not uuid)
    assert not (uuid and why)
    assert any(uuid) == bool(uuid)


@given(st.binary(min_size=44, max_size=44))
def test_any_platform_info_makes_a_chip_that_the_codec_takes(raw: bytes) -> None:
    known, why = platform_of(raw)
    topology = Topology(chips=(ChipTopology(uuid="GPU-1", **known),))
    assert decode_topology(encode_topology(topology)) == topology
    assert {*known} <= {field.name for field in fields(ChipTopology)}
    assert not (known and why)


@given(st.dictionaries(st.text("abc", max_size=80), st.text("XYZ", max_size=80), max_size=12))
def test_reasons_fit_a_text(unknown: dict[str, str]) -> None:
    assert len(told(unknown)) <= TEXT_BYTES_MAX


@given(TOPOLOGIES)
def test_a_topology_comes_back_as_it_was(topology: Topology) -> None:
    assert decode_topology(encode_topology(topology)) == topology


@given(st.binary(max_size=200))
def test_any_bytes_are_a_topology_or_refused(data: bytes) -> None:
    try:
        topology = decode_topology(data)
    except MalformedError:
        return
    assert encode_topology(topology) == data


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("00000000:0a:1b.0", "00000000:0A:1B.0"),
        ("00000000:0a:1b:00.0", ""),
        ("0000:0A:1b.0", "00000000:0A:1B.0"),
        ("00000001:0A:1B.7", "00000001:0A:1B.7"),
        ("00000000:00:00.0", ""),
        (None, ""),
    ],
)
def test_a_pci_address(text: object, address: str) -> None:
    assert pci_address(text) == address
