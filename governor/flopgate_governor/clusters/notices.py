"""Custodians are told of merges that concern their clusters, beside the answers to their hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flopgate_governor.core.cluster_notices import hides_other
from flopgate_governor.core.clusters import Merge
from flopgate_governor.core.facts import HostFacts
from flopgate_governor.receive import Checked
from flopgate_governor.state import State
from flopgate_governor.store.cluster_log import sealed, statement
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.v1 import flopgate_pb2 as pb


def tell_merges(
    state: State,
    checked: Sequence[Checked],
    downs: Sequence[pb.LinkDown],
    facts: Mapping[bytes, HostFacts],
) -> None:
    """Put what is due to the hosts of each message beside its answers."""
    if not state.clusters.merges:
        return
    for one, down in zip(checked, downs, strict=True):
        if not down.batches:
            continue
        said: set[bytes] = set()
        for item in one.reports:
            cluster = facts[item.host_id].host.cluster
            due = state.cluster_notices.due(state.clusters, item.host_id, cluster, state.unix_ms)
            for merge in due:
                wire = _wire(state, cluster, merge)
                if wire not in said:
                    said.add(wire)
                    down.batches[0].cluster_merges.append(pb.Envelope.FromString(wire))


def _wire(state: State, cluster: str, merge: Merge) -> bytes:
    made = state.cluster_notices.sealed
    if (cluster, merge) not in made:
        value = statement(
            merge, state.authority, state.unix_ms, told=cluster, hidden=hides_other(merge)
        )
        envelope = sealed(value, state.permit)
        made[cluster, merge] = envelope_to_wire(envelope).SerializeToString()
    return made[cluster, merge]
