"""Where everything stands, as Prometheus reads it: a text for a collector of files.

The governor opens no port for it: whoever may ask for the status writes this to a file from time to
time. Names and units follow Prometheus' conventions: seconds, FLOP as ``flop``. Labels are bounded
by what officers signed and declared: clusters, scopes of budgets and pauses, phases, reasons.
Single hosts have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from flopgate_proto.codec.common import scope_of
from flopgate_proto.v1 import flopgate_pb2 as pb

TFLOP: Final = 10**12
MS_PER_S: Final = 1_000


def metrics_text(reply: pb.GetStatusReply) -> str:
    """The text of a status, in Prometheus' exposition format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once([*_of_authority(reply), *_of_clusters(reply), *_of_doors(reply.doors)]))
    return generate_latest(registry).decode()


class _Once(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _of_authority(reply: pb.GetStatusReply) -> Iterator[Metric]:
    reason = reply.halted_reason.partition(":")[0]
    yield _one("flopgate_authority_grants", "Whether grants are given.", float(not reason))
    halted = _gauge("flopgate_authority_halted", "Why none is given.", "reason")
    if reason:
        halted.add_metric([reason], 1)
    yield halted
    yield _one(
        "flopgate_authority_time_timestamp_seconds",
        "Governor time.",
        reply.governor_unix_ms / MS_PER_S,
    )
    held = reply.held_clock.wall_unix_ms - reply.governor_unix_ms
    yield _one(
        "flopgate_authority_clock_ahead_seconds",
        "How far its wall clock leapt ahead of that, or back below 0, and is not followed.",
        held / MS_PER_S if reply.HasField("held_clock") else 0,
    )
    if reply.HasField("delegation"):
        yield _one(
            "flopgate_authority_delegation_end_timestamp_seconds",
            "Until when hosts take its permits for sure.",
            reply.delegation.until_unix_ms / MS_PER_S,
        )
    pauses = _gauge("flopgate_authority_pauses", "Pauses in force.", "scope")
    _count(pauses, [str(scope_of(one.scope)) for one in reply.pauses])
    yield pauses
    yield _one(
        "flopgate_authority_orders_waiting",
        "Orders that are signed and not in force yet.",
        len(reply.waiting),
    )
    yield _one(
        "flopgate_authority_merges_waiting",
        "Pairs of clusters that may be one, which officers have to rule on.",
        sum(one.state == "waiting" for one in reply.merges),
    )
    log = CounterMetricFamily("flopgate_authority_log_entries", "Entries of the log.")
    log.add_metric([], reply.log_size)
    yield log
    hosts = _gauge("flopgate_authority_hosts", "Hosts by how their link stands.", "link")
    linked = sum(one.linked for one in reply.hosts)
    hosts.add_metric(["linked"], linked)
    hosts.add_metric(["not_linked"], len(reply.hosts) - linked)
    yield hosts
    closed = _gauge("flopgate_authority_hosts_closed", "Hosts whose chain is closed.", "reason")
    _count(closed, [one.refused_reason for one in reply.hosts if one.refused_reason])
    yield closed


def _of_clusters(reply: pb.GetStatusReply) -> Iterator[Metric]:
    capacity = _gauge(
        "flopgate_cluster_capacity_flop_per_second", "What its chips can do.", "cluster"
    )
    covered = _gauge("flopgate_cluster_covered", "Whether it reaches the threshold.", "cluster")
    hosts = _gauge("flopgate_cluster_hosts", "Its hosts, by phase.", "cluster phase")
    would = _gauge(
        "flopgate_cluster_hosts_would_stop", "Would be stopped, were it enforced.", "cluster"
    )
    for one in reply.clusters:
        capacity.add_metric([one.cluster], one.capacity_tflop_per_s * TFLOP)
        covered.add_metric([one.cluster], float(one.covered))
        enforced = one.hosts - one.hosts_observed - one.hosts_warned
        by_phase = {"observe": one.hosts_observed, "warn": one.hosts_warned, "enforce": enforced}
        for phase, count in by_phase.items():
            hosts.add_metric([one.cluster, phase], count)
        would.add_metric([one.cluster], one.hosts_would_stop)
    cap = _gauge("flopgate_budget_cap_flop", "What officers allow.", "scope")
    used = _gauge(
        "flopgate_budget_used_flop",
        "Of it: settled, outstanding, unaccounted, and what silent hosts may have done.",
        "scope part",
    )
    for budget in reply.budgets:
        scope = str(scope_of(budget.scope))
        cap.add_metric([scope], budget.cap_tflop * TFLOP)
        parts = {
            "settled": budget.settled_tflop,
            "outstanding": budget.outstanding_tflop,
            "unaccounted": budget.unaccounted_tflop,
            "silent": budget.silent_tflop,
        }
        for part, tflop in parts.items():
            used.add_metric([scope, part], tflop * TFLOP)
    yield from (capacity, covered, hosts, would, cap, used)


def _of_doors(doors: pb.DoorStatus) -> Iterator[Metric]:
    """Of the running governor, since it started."""
    yield _one("flopgate_governor_streams", "Streams that are open.", doors.streams)
    counts = {
        "flopgate_governor_streams_replaced": (
            "Streams that had to go for newer ones.",
            doors.streams_replaced,
        ),
        "flopgate_governor_calls_refused": ("Calls refused.", doors.calls_refused),
        "flopgate_governor_held_back_seconds": (
            "For how long hosts were held back that add more than their allowance, summed.",
            doors.held_back_ms / MS_PER_S,
        ),
    }
    for name, (text, value) in counts.items():
        counter = CounterMetricFamily(name, text)
        counter.add_metric([], value)
        yield counter


def _count(gauge: GaugeMetricFamily, values: list[str]) -> None:
    """How often each value comes, by its one label."""
    for value, times in sorted(Counter(values).items()):
        gauge.add_metric([value], times)


def _one(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels.split())
