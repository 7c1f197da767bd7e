"""The newest topology that each host told: how clusters can be found, whatever was declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, and_, select

from flopgate_governor.store import schema
from flopgate_governor.store.prepared import KEYS, Query, Read
from flopgate_proto.codec import decode_report
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Topology

_H, _R = schema.host.c, schema.report.c
_told = select(_H.host_id, _R.sequence, _R.envelope).join(
    schema.report, and_(_R.host_id == _H.host_id, _R.sequence == _H.topology_sequence)
)
_ALL: Final = Query(_told)
_OF: Final = Read(_told.where(_H.host_id.in_(KEYS)))


def load_topologies(
    connection: Connection, hosts: Sequence[bytes] | None = None
) -> dict[bytes, tuple[int, Topology]]:
    """By host id: the newest one, and the sequence of the report on record that told it.

    ``hosts``: of these only.
    """
    rows = _ALL.run(connection) if hosts is None else _OF.run(connection, hosts)
    found = {}
    for host_id, sequence, envelope in rows:
        topology = decode_report(pb.Envelope.FromString(envelope).payload).topology
        if topology is not None:
            found[host_id] = (sequence, topology)
    return found


def summary(sequence: int, topology: Topology) -> pb.TopologyStatus:
    """What people see of it among many hosts."""
    chips, ports = topology.chips, topology.ports
    fabrics = {chip.fabric_cluster_uuid for chip in chips} - {b""}
    return pb.TopologyStatus(
        sequence=sequence,
        fabric_cluster_uuids=sorted(fabrics),
        nvlinks=sum(peer.links for chip in chips for peer in chip.peers),
        ports=len(ports),
        active_ports=sum(port.active is True for port in ports),
        partial=bool(topology.unknown)
        or any(chip.unknown for chip in chips)
        or any(port.unknown for port in ports),
    )
