"""Statements about neighbours: signed once for all hosts of a group, sent beside their answers."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from flopgate_governor.core.neighbours import EVERY_MS, Group
from flopgate_governor.receive import Checked
from flopgate_governor.state import State
from flopgate_governor.store.topologies import load_topologies
from flopgate_proto.codec import PayloadType, encode_neighbours, envelope_to_wire
from flopgate_proto.envelope import seal
from flopgate_proto.v1 import flopgate_pb2 as pb


def place_hosts(state: State, connection: Connection, hosts: Sequence[bytes]) -> None:
    """Read where hosts hang of which this process has not heard yet."""
    unknown = [host_id for host_id in hosts if not state.neighbourhoods.knows(host_id)]
    if not unknown:
        return
    told = load_topologies(connection, unknown)
    for host_id in unknown:
        _, topology = told.get(host_id, (0, None))
        state.neighbourhoods.place(host_id, topology)


def tell_neighbours(state: State, checked: Sequence[Checked], downs: Sequence[pb.LinkDown]) -> None:
    """Put what is due to the hosts of each message beside its answers."""
    for one, down in zip(checked, downs, strict=True):
        if not down.batches:
            continue
        said: set[bytes] = set()
        for item in one.reports:
            for group in state.neighbourhoods.due(item.host_id, state.unix_ms):
                if state.unix_ms - group.made_ms >= EVERY_MS:
                    _make(state, group)
                if not group.statement:
                    continue
                group.told_ms[item.host_id] = group.made_ms
                if group.statement not in said:
                    said.add(group.statement)
                    down.batches[0].neighbours.append(pb.Envelope.FromString(group.statement))


def _make(state: State, group: Group) -> None:
    said = group.median(state.authority, state.unix_ms)
    group.statement = b""
    if said is not None:
        sealed = seal(PayloadType.NEIGHBOURS, encode_neighbours(said), [state.permit])
        group.statement = envelope_to_wire(sealed).SerializeToString()
