"""What a host's topology says that it shares with others: the ends of links, each told by itself.

* A fabric: every chip that names its cluster UUID hangs on it.
* A subnet: every active InfiniBand port with its prefix and the LID of its manager reaches all
  others of it. Sysfs does not tell where a cable leads: both ends tell the subnet that they are in.
  The default prefix is everywhere, so it names no subnet. Ethernet has no manager that would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flopgate_proto.quick import quick
from flopgate_proto.values.topology import Port, Topology

DEFAULT_PREFIX: Final = 0xFE80_0000_0000_0000
"""Of subnets that nobody named (InfiniBand Architecture Specification, volume 1, 4.1.1)."""

FABRIC: Final = "fabric"
SUBNET: Final = "subnet"


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One end of a link.

    Attributes:
        key: what the other end must name too: ``fabric:UUID`` or ``subnet:PREFIX/LID``.
        rate_mbit_per_s: of the fastest port in a subnet; ``None`` of a fabric.
    """

    key: str
    rate_mbit_per_s: int | None


def claims_of(topology: Topology) -> tuple[Claim, ...]:
    """By key, each once."""
    uuids = {chip.fabric_cluster_uuid for chip in topology.chips}
    fabrics = {f"{FABRIC}:{uuid.hex()}" for uuid in uuids if any(uuid)}
    rates: dict[str, int] = {}
    for port in topology.ports:
        subnet = _subnet(port)
        if subnet and port.rate_mbit_per_s is not None:
            rates[subnet] = max(rates.get(subnet, 0), port.rate_mbit_per_s)
    claims = [Claim(key=key, rate_mbit_per_s=None) for key in fabrics]
    claims += [Claim(key=key, rate_mbit_per_s=rate) for key, rate in rates.items()]
    return tuple(sorted(claims, key=lambda claim: claim.key))


def _subnet(port: Port) -> str:
    """The subnet of a port; empty where it is in none that can be told from others."""
    prefix, manager_lid = port.subnet_prefix, port.subnet_manager_lid
    if port.link_layer != "InfiniBand" or not port.active:
        return ""
    if prefix is None or prefix == DEFAULT_PREFIX or manager_lid is None:
        return ""
    return f"{SUBNET}:{prefix:016x}/{manager_lid}"
