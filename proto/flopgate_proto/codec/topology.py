"""Topology: by itself on its way to the gate, and as a part of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from flopgate_proto.codec import checks
from flopgate_proto.errors import OversizedError
from flopgate_proto.limits import (
    CHIPS_MAX,
    NVLINKS_MAX,
    PLATFORM_GUID_BYTES_MAX,
    PORTS_MAX,
    TOPOLOGY_BYTES_MAX,
    UUID_BYTES,
)
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.topology import ChipTopology, NvLinkPeer, Port, Topology

CHIP_NUMBERS = ("fabric_clique", "slot", "tray", "host", "module", "peer_type")
PORT_NUMBERS = (
    "node_guid", "active", "guid", "rate_mbit_per_s", "subnet_prefix", "lid",
    "subnet_manager_lid", "subnet_manager_guid",
)  # fmt: skip
"""Fields that are ``None`` where protobuf has none."""


def encode_topology(value: Topology) -> bytes:
    """Bytes of a topology."""
    return topology_to(value).SerializeToString(deterministic=True)


def decode_topology(data: bytes) -> Topology:
    """Topology from bytes that nobody signed."""
    return topology_of(checks.parse_exact(pb.Topology(), data, TOPOLOGY_BYTES_MAX))


def topology_to(value: Topology) -> pb.Topology:
    """Protobuf form, as a part of other messages."""
    return pb.Topology(
        chips=[
            pb.ChipTopology(
                uuid=chip.uuid,
                fabric_cluster_uuid=chip.fabric_cluster_uuid,
                platform_guid=chip.platform_guid,
                chassis_serial=chip.chassis_serial,
                peers=[
                    pb.NvLinkPeer(
                        kind=peer.kind,
                        peer=peer.peer,
                        links=peer.links,
                        rate_mbit_per_s=peer.rate_mbit_per_s,
                    )
                    for peer in chip.peers
                ],
                unknown=chip.unknown,
                **{name: getattr(chip, name) for name in CHIP_NUMBERS},
            )
            for chip in value.chips
        ],
        ports=[
            pb.Port(
                number=port.number,
                link_layer=port.link_layer,
                unknown=port.unknown,
                **{name: getattr(port, name) for name in PORT_NUMBERS},
            )
            for port in value.ports
        ],
        unknown=value.unknown,
    )


def topology_of(message: pb.Topology) -> Topology:
    """Its value, within bounds."""
    if message.ByteSize() > TOPOLOGY_BYTES_MAX:
        raise OversizedError(
            f"topology of {message.ByteSize()} bytes, at most {TOPOLOGY_BYTES_MAX} are taken",
            code="field.oversized",
        )
    chips = tuple(map(_chip_of, checks.few(message.chips, CHIPS_MAX, "chips of a topology")))
    checks.unique([chip.uuid for chip in chips], "chips of a topology")
    return Topology(
        chips=chips,
        ports=tuple(map(_port_of, checks.few(message.ports, PORTS_MAX, "ports"))),
        unknown=checks.text(message.unknown, "what is unknown"),
    )


def _present(message: Message, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def _chip_of(message: pb.ChipTopology) -> ChipTopology:
    return ChipTopology(
        uuid=checks.text(message.uuid, "chip UUID", required=True),
        fabric_cluster_uuid=checks.exact_or_empty(
            message.fabric_cluster_uuid, UUID_BYTES, "cluster UUID"
        ),
        platform_guid=checks.at_most(
            message.platform_guid, PLATFORM_GUID_BYTES_MAX, "platform GUID"
        ),
        chassis_serial=checks.text(message.chassis_serial, "chassis serial"),
        peers=tuple(map(_peer_of, checks.few(message.peers, NVLINKS_MAX, "NVLink peers"))),
        unknown=checks.text(message.unknown, "what is unknown"),
        **_present(message, CHIP_NUMBERS),
    )


def _peer_of(message: pb.NvLinkPeer) -> NvLinkPeer:
    return NvLinkPeer(
        kind=checks.text(message.kind, "kind of NVLink peer"),
        peer=checks.text(message.peer, "NVLink peer"),
        links=checks.count(message.links, "links", NVLINKS_MAX),
        rate_mbit_per_s=checks.count(message.rate_mbit_per_s, "link rate")
        if message.HasField("rate_mbit_per_s")
        else None,
    )


def _port_of(message: pb.Port) -> Port:
    checks.count(message.rate_mbit_per_s, "port rate")
    return Port(
        number=message.number,
        link_layer=checks.text(message.link_layer, "link layer"),
        unknown=checks.text(message.unknown, "what is unknown"),
        **_present(message, PORT_NUMBERS),
    )
