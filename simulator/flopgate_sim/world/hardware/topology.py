"""How the hosts of the world hang together: on a fabric and a subnet, mostly their cluster's."""

from __future__ import annotations

from typing import Final

from flopgate_proto.values import ChipTopology, NvLinkPeer, Port, Topology
from flopgate_sim.world.hardware.machine import Hardware
from flopgate_sim.world.nature.randomness import Streams
from flopgate_sim.world.plan import HostPlan

PEERS: Final = (NvLinkPeer(kind="switch", peer="", links=18, rate_mbit_per_s=212_496),)
MANAGER_LID: Final = 1
UNICAST_LIDS: Final = 0xBFFF
NO_FABRIC: Final = "fabric=NOT_SUPPORTED nvlink=NOT_SUPPORTED platform=NOT_SUPPORTED"


def topology_of(plan: HostPlan, hardware: Hardware, streams: Streams) -> Topology:
    """What the driver and the kernel of this host say; the same at each start."""
    guid = 1 + int.from_bytes(streams.entropy(f"port/{plan.name}", 7), "big")
    wire = plan.claims or plan.fabric or plan.cluster
    fabric = streams.entropy(f"fabric/{wire}", 16)
    port = Port(
        number=1,
        link_layer="InfiniBand",
        node_guid=guid,
        active=True,
        guid=guid,
        rate_mbit_per_s=plan.port_mbit_per_s,
        subnet_prefix=int.from_bytes(streams.entropy(f"subnet/{wire}", 7), "big"),
        lid=MANAGER_LID + 1 + guid % (UNICAST_LIDS - MANAGER_LID),
        subnet_manager_lid=MANAGER_LID,
    )
    chips = tuple(
        ChipTopology(uuid=chip.uuid, fabric_cluster_uuid=fabric, fabric_clique=0, peers=PEERS)
        if chip.gpm
        else ChipTopology(uuid=chip.uuid, unknown=NO_FABRIC)
        for chip in hardware.chips
    )
    return Topology(chips=chips, ports=(port,))
