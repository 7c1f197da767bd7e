"""How a host hangs together with others: chips, NVLink, network ports. No traffic.

``None`` and empty mean unknown or not there; ``unknown`` tells which of the two, as ``name=REASON``
by spaces, and is empty where everything could be read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NvLinkPeer:
    """Active NVLinks of one chip to one peer.

    Attributes:
        kind: ``gpu``, ``switch``, ``cpu``, or empty.
        peer: UUID of a chip of this host, else the PCI address under which the host sees the peer.
        links: how many, 1 upwards.
        rate_mbit_per_s: of one link in one direction.
    """

    kind: str
    peer: str
    links: int
    rate_mbit_per_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipTopology:
    """One chip's place.

    Attributes:
        uuid: NVML UUID.
        fabric_cluster_uuid: 16 bytes of an NVLink fabric that reaches beyond the host, or empty.
        fabric_clique: clique within that fabric.
        platform_guid: the chip's GUID as the platform gives it, at most 16 bytes.
        chassis_serial: of the chassis that holds it.
        slot, tray, host, module: place in the chassis, 0 to 254; slots count switches, trays
            do not; ``host`` is the node within the slot.
        peer_type: the platform's number for what NVLink leads to.
    """

    uuid: str
    fabric_cluster_uuid: bytes = b""
    fabric_clique: int | None = None
    platform_guid: bytes = b""
    chassis_serial: str = ""
    slot: int | None = None
    tray: int | None = None
    host: int | None = None
    module: int | None = None
    peer_type: int | None = None
    peers: tuple[NvLinkPeer, ...] = ()
    unknown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of InfiniBand or RoCE hardware, as the kernel tells it.

    Attributes:
        number: of the port on its adapter, 1 to 255.
        link_layer: ``InfiniBand`` or ``Ethernet``.
        node_guid: of the adapter, 64 bit, never 0.
        guid: of the port, 64 bit, never 0.
        subnet_prefix: upper half of an InfiniBand GID.
        lid, subnet_manager_lid: 1 to 0xFFFF.
        subnet_manager_guid: where the manager runs behind this very port; elsewhere a host knows
            no more of it than prefix and LID.
    """

    number: int
    link_layer: str = ""
    node_guid: int | None = None
    active: bool | None = None
    guid: int | None = None
    rate_mbit_per_s: int | None = None
    subnet_prefix: int | None = None
    lid: int | None = None
    subnet_manager_lid: int | None = None
    subnet_manager_guid: int | None = None
    unknown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Everything of one host; chips by UUID, ports by adapter and number, each once."""

    chips: tuple[ChipTopology, ...] = ()
    ports: tuple[Port, ...] = ()
    unknown: str = ""
