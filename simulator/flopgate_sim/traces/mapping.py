"""A recorded cluster as a scenario: nodes become hosts, pods become jobs with their times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from flopgate_proto.amounts import counted
from flopgate_proto.errors import ConfigError
from flopgate_proto.values.orders import Policy
from flopgate_sim.scenario.policies import default_policy, with_budgets
from flopgate_sim.scenario.profiles import PROFILES
from flopgate_sim.scenario.table import DURATION_S_MAX
from flopgate_sim.scenario.values import Cluster, Scenario, TimedJob, Workload
from flopgate_sim.traces.models import StandIn, stand_in
from flopgate_sim.traces.placement import Placement, ends_at_s, place
from flopgate_sim.traces.reader import Trace

NAME: Final = "recorded"
"""Of the cluster, and of the workload of every host's one lane."""
_NO_CHOICE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """Parts of the cluster, and the host that each node became; nodes without GPU became none."""

    clusters: tuple[Cluster, ...]
    host_of: Mapping[int, int]


def to_scenario(
    trace: Trace,
    *,
    begin_s: int | None = None,
    duration_s: int | None = None,
    budget_tflop: int | None = None,
    policy: Policy | None = None,
    models: Mapping[str, str] = _NO_CHOICE,
) -> Scenario:
    """The recorded cluster under governance.

    Args:
        trace: what was recorded.
        begin_s: moment of the trace at which the scenario begins; ``None``: with the first job.
        duration_s: 1 to 366 days; ``None``: until the last job has ended, or 366 days.
        budget_tflop: cap of the cluster; ``None``: the highest there is.
        policy: of the authority; ``None``: the shipped one.
        models: chip profiles for models of the trace, before what is known of them.

    Returns:
        The scenario; its ``notes`` tell what was assumed and what was left out.

    Raises:
        ConfigError: no job runs, or none in that time, or a profile does not exist.
    """
    for model, profile in models.items():
        if profile not in PROFILES:
            raise ConfigError(
                f"no chip profile {profile!r} for model {model!r}",
                code="trace.model",
                remedy=f"Use one of {', '.join(PROFILES)}.",
            )
    fleet = _fleet(trace, budget_tflop, models)
    placement = place(trace)
    if not placement.placed:
        raise ConfigError(
            "no pod of the trace ran on a GPU of its nodes",
            code="trace.empty",
            remedy="Name the pods that belong to these nodes.",
        )
    if begin_s is None:
        begin_s = min(one.start_s for one in placement.placed)
    if duration_s is None:
        last_s = max(one.end_s for one in placement.placed)
        duration_s = min(max(1, last_s - begin_s), DURATION_S_MAX)
    if not 1 <= duration_s <= DURATION_S_MAX:
        raise ConfigError(
            f"duration of {duration_s} s",
            code="trace.duration",
            remedy=f"Take 1 to {DURATION_S_MAX} seconds.",
        )
    jobs = _jobs(placement, fleet, begin_s, duration_s)
    if not jobs:
        raise ConfigError(
            f"no job of the trace runs between its seconds {begin_s} and {begin_s + duration_s}",
            code="trace.window",
            remedy=f"It was recorded from 0 to {ends_at_s(trace)}; {_busiest(placement)}.",
        )
    hosts = sum(cluster.hosts for cluster in fleet.clusters)
    return Scenario(
        name=NAME,
        summary=f"A recorded cluster of {counted(hosts, 'host')} with "
        f"{counted(len(jobs), 'job')}, under governance.",
        duration_s=duration_s,
        clusters=fleet.clusters,
        policy=with_budgets(default_policy() if policy is None else policy, fleet.clusters),
        jobs=jobs,
        notes=tuple(_notes(trace, placement, len(jobs), models)),
    )


def _fleet(trace: Trace, budget_tflop: int | None, models: Mapping[str, str]) -> _Fleet:
    parts: dict[tuple[str, int], list[int]] = {}
    for number, node in enumerate(trace.nodes):
        if node.gpus:
            profile = stand_in(node.model, models).profile
            parts.setdefault((profile, node.gpus), []).append(number)
    clusters = tuple(
        Cluster(
            name=NAME,
            custodian="operator",
            site="main",
            jurisdiction="home",
            hosts=len(numbers),
            chips_per_host=gpus,
            chip=profile,
            budget_tflop=budget_tflop,
            workloads=(Workload(name=NAME),),
        )
        for (profile, gpus), numbers in parts.items()
    )
    in_order = (number for numbers in parts.values() for number in numbers)
    return _Fleet(clusters=clusters, host_of={number: host for host, number in enumerate(in_order)})


def _jobs(
    placement: Placement, fleet: _Fleet, begin_s: int, duration_s: int
) -> tuple[TimedJob, ...]:
    jobs = [
        TimedJob(
            name=one.pod.name,
            host=fleet.host_of[one.node],
            chips=one.gpus,
            start_s=max(0, one.start_s - begin_s),
            end_s=min(duration_s, one.end_s - begin_s),
            # Rounded up: a share may be charged too high, never too low.
            utilisation_percent=-(-one.pod.gpu_milli // 10),
        )
        for one in placement.placed
        if one.start_s < begin_s + duration_s and one.end_s > begin_s
    ]
    return tuple(sorted(jobs, key=lambda job: (job.start_s, job.host, job.name)))


def _busiest(placement: Placement) -> str:
    """When most jobs ran; some did."""
    changes = Counter[int]()
    for one in placement.placed:
        changes[one.start_s] += 1
        changes[one.end_s] -= 1
    ran, most, at_s = 0, 0, 0
    for moment_s, change in sorted(changes.items()):
        ran += change
        if ran > most:
            most, at_s = ran, moment_s
    return f"most jobs at a time ran at its second {at_s}: {most}"


def _notes(trace: Trace, placement: Placement, taken: int, models: Mapping[str, str]) -> list[str]:
    notes = []
    counts = Counter(node.model for node in trace.nodes if node.gpus)
    for model, count in sorted(counts.items()):
        found: StandIn = stand_in(model, models)
        if found.why:
            named = f"model {model}" if model else "a node without a model"
            share = f"{count} of {counts.total()} nodes"
            notes.append(f"{named} counts as {found.profile} ({share}): {found.why}")
    notes.append(
        "a GPU, or the share of one, counts as busy all the time: the trace tells what was asked "
        "for, not what was used"
    )
    notes.append(_busiest(placement))
    left_out = (
        ("nodes without a GPU", sum(not node.gpus for node in trace.nodes)),
        ("pods that asked for no GPU", placement.without_gpu),
        ("pods that were never scheduled", placement.never_scheduled),
        ("pods that were gone as soon as they were scheduled", placement.no_time),
        ("pods that found no node with room when they were scheduled", len(placement.unplaced)),
        ("pods that ran outside the chosen time", len(placement.placed) - taken),
    )
    return notes + [f"left out, {what}: {count}" for what, count in left_out if count]
