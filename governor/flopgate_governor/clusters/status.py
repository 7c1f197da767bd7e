"""What status tells of clusters: their capacity, which are one, and what waits for officers."""

from __future__ import annotations

from collections import Counter

from flopgate_governor.core.capacity import Beside
from flopgate_governor.core.clusters import NOBODY, Clusters, Merge
from flopgate_governor.core.decide import FLOP_PER_TFLOP
from flopgate_governor.core.facts import ENDED
from flopgate_governor.core.kinship import united
from flopgate_governor.state import State
from flopgate_governor.views.loose_lanes import would_stop
from flopgate_proto.v1 import flopgate_pb2 as pb


def cluster_statuses(state: State, hosts: list[pb.HostStatus]) -> list[pb.ClusterStatus]:
    """Of every declared cluster, by name."""
    clusters, capacities = state.clusters, state.capacities
    hosts = [host for host in hosts if host.refused_reason not in ENDED]

    def beside(name: str) -> Beside:
        return capacities.beside.get(name) or Beside()

    counts = Counter(host.cluster for host in hosts)
    phases = Counter((host.cluster, host.phase) for host in hosts)
    would = Counter(host.cluster for host in hosts if any(map(would_stop, host.lanes)))
    return [
        pb.ClusterStatus(
            cluster=name,
            capacity_tflop_per_s=rate // FLOP_PER_TFLOP,
            covered=name in capacities.covered,
            hosts=counts[name],
            hosts_observed=phases[name, pb.PHASE_OBSERVE],
            hosts_warned=phases[name, pb.PHASE_WARN],
            hosts_would_stop=would[name],
            one_with=[other for other in united(clusters.kin, name) if other != name],
            whole_tflop_per_s=capacities.of_whole(name) // FLOP_PER_TFLOP,
            custodians=sorted(clusters.declared.get(name, NOBODY).custodians),
            sites=sorted(clusters.declared.get(name, NOBODY).sites),
            dense_16bit_tflop_per_s=beside(name).dense_16bit_flop_per_s // FLOP_PER_TFLOP,
            dense_tflop_per_s=beside(name).dense_flop_per_s // FLOP_PER_TFLOP,
            total_processing_performance=beside(name).weighted_bit_op_per_s // FLOP_PER_TFLOP,
        )
        for name, rate in sorted(capacities.flop_per_s.items())
    ]


def merge_statuses(clusters: Clusters) -> list[pb.MergeStatus]:
    """Of every merge that is in force, was ruled on, or waits; those that wait first."""
    waiting = clusters.waiting()
    decided = [merge for merge in clusters.merges.values() if not _idle(merge)]
    return [_status(merge) for merge in (*waiting, *decided)]


def _idle(merge: Merge) -> bool:
    """It waits, or waited until something else made one of both sides."""
    return merge.state is merge.state.WAITING


def _status(merge: Merge) -> pb.MergeStatus:
    return pb.MergeStatus(
        a=merge.a,
        b=merge.b,
        key=merge.key,
        state=merge.state.name.lower(),
        why=merge.why,
        ends=[pb.MergeEnd(host_id=host_id, sequence=number) for host_id, number in merge.reports],
        ruling=merge.order,
    )
