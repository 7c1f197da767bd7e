"""Every host of a scenario, spelled out: its name, its cluster, its lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flopgate_sim.scenario.values import Cluster, Scenario, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Chips of one host that serve one workload.

    Attributes:
        workload: its name as officers pause and cap it.
        chips: indices on the host.
        kind: how it works.
    """

    workload: str
    chips: tuple[int, ...]
    kind: Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine of a scenario; ``index`` is what faults and jobs name."""

    index: int
    name: str
    cluster: Cluster
    lanes: tuple[Lane, ...]


def fleet(scenario: Scenario) -> tuple[Host, ...]:
    """All hosts: clusters in the file's order, in each its workloads in the file's order."""
    hosts: list[Host] = []
    for cluster in scenario.clusters:
        for workload, count in zip(cluster.workloads, shared(cluster), strict=True):
            lanes = lanes_of(workload, cluster.chips_per_host)
            hosts += [
                Host(index=index, name=f"{cluster.name}-{index}", cluster=cluster, lanes=lanes)
                for index in range(len(hosts), len(hosts) + count)
            ]
    return tuple(hosts)


def shared(cluster: Cluster) -> tuple[int, ...]:
    """Hosts of each workload of a cluster, all of its hosts together: largest remainders win."""
    whole = sum(workload.share for workload in cluster.workloads)
    exact = [workload.share / whole * cluster.hosts for workload in cluster.workloads]
    counts = [int(part) for part in exact]
    by_rest = sorted(range(len(exact)), key=lambda at: (counts[at] - exact[at], at))
    for at in by_rest[: cluster.hosts - sum(counts)]:
        counts[at] += 1
    return tuple(counts)


def lane_names(workload: Workload) -> tuple[str, ...]:
    """Names of the workloads that the lanes of one host serve: ``NAME``, ``NAME-2``, ``NAME-3``."""
    more = (f"{workload.name}-{number}" for number in range(2, workload.lanes + 1))
    return (workload.name, *more)


def lanes_of(workload: Workload, chips: int) -> tuple[Lane, ...]:
    """Lanes of one host, as evenly as its chips divide; earlier lanes get one more."""
    each, more = divmod(chips, workload.lanes)
    lanes, first = [], 0
    for number, name in enumerate(lane_names(workload)):
        end = first + each + (number < more)
        lanes.append(Lane(workload=name, chips=tuple(range(first, end)), kind=workload))
        first = end
    return tuple(lanes)


def scopes_of(clusters: Sequence[Cluster]) -> frozenset[str]:
    """Every scope that a host or lane of these clusters belongs to, in words."""
    scopes = {"everything"}
    for cluster in clusters:
        scopes |= {
            f"cluster:{cluster.name}",
            f"custodian:{cluster.custodian}",
            f"site:{cluster.site}",
            f"jurisdiction:{cluster.jurisdiction}",
        }
        for workload in cluster.workloads:
            scopes |= {f"workload:{name}" for name in lane_names(workload)}
    return frozenset(scopes)
