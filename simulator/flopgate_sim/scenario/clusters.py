"""Reads the clusters of a scenario, and what runs in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flopgate_proto.limits import COUNT_MAX
from flopgate_sim.scenario.fleet import lane_names
from flopgate_sim.scenario.profiles import PROFILES
from flopgate_sim.scenario.table import DURATION_S_MAX, ScenarioTable
from flopgate_sim.scenario.values import (
    Bursty,
    Cluster,
    Communicating,
    Pattern,
    Restarting,
    Steady,
    Workload,
)

HOSTS_MAX: Final = 20_000
"""Of one cluster entry, and of all together."""
CHIPS_PER_HOST_MAX: Final = 16
WORKLOADS_MAX: Final = 64
CLUSTERS_MAX: Final = 256
SHARE_TOLERANCE: Final = 0.001

CLUSTER_KEYS: Final = (
    "name", "custodian", "site", "jurisdiction", "hosts", "chips_per_host", "chip", "budget_tflop",
    "joins_at_s", "phase_at_least", "fabric", "tpm", "workload",
)  # fmt: skip
_PATTERN_KEYS: Final = {
    "steady": (),
    "bursty": ("period_ms", "busy_ms"),
    "restarting": ("mean_life_s",),
    "communicating": (),
}
WORKLOAD_KEYS: Final = (
    "name", "share", "lanes", "utilisation_percent", "pattern", "period_ms", "busy_ms",
    "mean_life_s", "persistent_kernel", "drain_ms", "ignores_signals", "forks",
)  # fmt: skip
_DAY_MS: Final = 86_400_000


def read_clusters(tables: Sequence[ScenarioTable], top: ScenarioTable) -> tuple[Cluster, ...]:
    """All clusters.

    Raises:
        ConfigError: there is none, one is wrong, or parts of one contradict each other.
    """
    if not 1 <= len(tables) <= CLUSTERS_MAX:
        raise top.fault("cluster", f"must stand 1 to {CLUSTERS_MAX} times, as [[cluster]]")
    clusters: dict[str, Cluster] = {}
    found: list[Cluster] = []
    for table in tables:
        cluster = _cluster(table)
        first = clusters.setdefault(cluster.name, cluster)
        for key in ("custodian", "site", "jurisdiction", "budget_tflop"):
            if getattr(first, key) != getattr(cluster, key):
                raise table.fault(key, f"must be as in the first part of cluster {cluster.name}")
        found.append(cluster)
    if sum(cluster.hosts for cluster in found) > HOSTS_MAX:
        raise top.fault("cluster", f"must have at most {HOSTS_MAX} hosts in all clusters together")
    return tuple(found)


def _cluster(table: ScenarioTable) -> Cluster:
    chips = table.number("chips_per_host", 8, 1, CHIPS_PER_HOST_MAX)
    workloads = tuple(_workload(one, chips) for one in table.tables("workload", WORKLOAD_KEYS)) or (
        Workload(name="training"),
    )
    if len(workloads) > WORKLOADS_MAX:
        raise table.fault("workload", f"must stand at most {WORKLOADS_MAX} times")
    names = [name for workload in workloads for name in lane_names(workload)]
    if len(set(names)) != len(names):
        raise table.fault("workload", "names one twice; lanes are called NAME, NAME-2, NAME-3")
    whole = sum(workload.share for workload in workloads)
    if abs(whole - 1) > SHARE_TOLERANCE:
        raise table.fault("workload", f"must have shares that add up to 1, these make {whole:g}")
    name = table.name("name")
    return Cluster(
        name=name,
        custodian=table.name("custodian", "operator"),
        site=table.name("site", "main"),
        jurisdiction=table.name("jurisdiction", "home"),
        hosts=table.number("hosts", None, 1, HOSTS_MAX),
        chips_per_host=chips,
        chip=table.choice("chip", "h100", PROFILES),
        budget_tflop=table.number_unless("budget_tflop", "unlimited", 0, COUNT_MAX),
        joins_at_s=table.number("joins_at_s", 0, 0, DURATION_S_MAX),
        phase_at_least=table.phase("phase_at_least", "observe"),
        fabric=table.name("fabric", name),
        tpm=table.flag("tpm", default=False),
        workloads=workloads,
    )


def _workload(table: ScenarioTable, chips: int) -> Workload:
    persistent = table.flag("persistent_kernel", default=False)
    if persistent:
        table.alone(("drain_ms",), "has no meaning for a persistent_kernel, which never drains")
    share = table.ratio("share", 1.0, 0, 1)
    if not share:
        raise table.fault("share", "must be above 0")
    return Workload(
        name=table.name("name"),
        share=share,
        lanes=table.number("lanes", 1, 1, chips),
        utilisation_percent=table.number("utilisation_percent", 80, 0, 100),
        pattern=_pattern(table),
        drain_ms=None if persistent else table.number("drain_ms", 50, 0, 3_600_000),
        ignores_signals=table.flag("ignores_signals", default=False),
        forks=table.flag("forks", default=False),
    )


def _pattern(table: ScenarioTable) -> Pattern:
    name = table.choice("pattern", "steady", _PATTERN_KEYS)
    for other, keys in _PATTERN_KEYS.items():
        if other != name:
            table.alone(keys, f'has a meaning only with pattern = "{other}"')
    match name:
        case "bursty":
            period_ms = table.number("period_ms", None, 1, _DAY_MS)
            return Bursty(period_ms=period_ms, busy_ms=table.number("busy_ms", None, 1, period_ms))
        case "restarting":
            return Restarting(mean_life_s=table.number("mean_life_s", None, 1, DURATION_S_MAX))
        case "communicating":
            return Communicating()
        case _:
            return Steady()
