"""What a scrape by Prometheus finds: the gate's newest snapshot, and how the links stand.

Names and units follow Prometheus' conventions: seconds, bytes, FLOP as `flop`. Labels are bounded:
workloads of this host's configuration, its authorities, states, figures, and ids of findings and
reasons, which are few and fixed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from flopgate_agent.courier.core import State
from flopgate_agent.courier.scraping import serve_scrapes
from flopgate_agent.host_status import STALE_MS
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.words import word_of

TFLOP: Final = 10**12
SILENT_S: Final = STALE_MS / 1000
"""As long as its status file may lie: a gate shows itself to both each second."""
_LOG: Final = logging.getLogger("flopgate.courier")


@dataclass(slots=True)
class Link:
    """One authority: state of its link, end of its certificate, how long it held the host back."""

    state: State
    expires_unix_ms: int | None
    held_ms: int


class HostMetrics(Collector):
    """Filled by carriers, read by scrapes in a thread of their own; every field is set at once.

    Args:
        clock: seconds that never step back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: tuple[pb.Snapshot, float] | None = None
        self._links: dict[str, Link] = {}

    def saw(self, snapshot: pb.Snapshot) -> None:
        """The gate showed itself."""
        self._seen = (snapshot, self._clock())

    def linked(
        self, authority: str, state: State, expires_unix_ms: int | None, held_ms: int
    ) -> None:
        """How an authority's link stands from now on."""
        self._links = {**self._links, authority: Link(state, expires_unix_ms, held_ms)}

    def collect(self) -> Iterable[Metric]:
        """Everything that is known now."""
        yield from _of_links(self._links)
        seen = self._seen
        age_s = None if seen is None else self._clock() - seen[1]
        up = GaugeMetricFamily("flopgate_gate_up", "Whether the gate on this host speaks.")
        up.add_metric([], float(age_s is not None and age_s <= SILENT_S))
        yield up
        # What a gate said that has gone would look like the truth of now.
        if seen is not None and age_s is not None and age_s <= SILENT_S:
            yield from _of_host(seen[0])
            yield from _of_lanes(seen[0].lanes)
            yield from _of_licenses(seen[0].licenses)


def serve(listen: tuple[str, int], metrics: HostMetrics) -> Callable[[], None]:
    """Serve ``/metrics``, with what this process itself costs; returns what ends it.

    Raises:
        EnvironmentFault: nobody can listen there.
    """
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    host, port = listen
    try:
        close = serve_scrapes(listen, registry)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot serve metrics at {host}:{port}: {error.strerror or error}",
            code="courier.metrics.listen",
            remedy="Name another metrics_listen in courier.toml.",
        ) from error
    _LOG.info("metrics at http://%s:%d/metrics", host, port)
    return close


def _of_links(links: dict[str, Link]) -> Iterable[Metric]:
    state = _gauge("flopgate_link_state", "State of the link to an authority.", "authority state")
    expires = _gauge(
        "flopgate_link_certificate_expiry_timestamp_seconds",
        "When the courier's certificate for an authority ends.",
        "authority",
    )
    held = _counter(
        "flopgate_link_held_back_seconds",
        "For how long an authority took nothing: more was sent than it allows a host.",
        "authority",
    )
    for name, link in links.items():
        held.add_metric([name], link.held_ms / 1000)
        for one in State:
            state.add_metric([name, one.value], float(one is link.state))
        if link.expires_unix_ms is not None:
            expires.add_metric([name], link.expires_unix_ms / 1000)
    return (state, expires, held)


def _of_host(shown: pb.Snapshot) -> Iterable[Metric]:
    enrolled = _gauge("flopgate_host_enrolled", "Whether an authority has admitted this host.")
    enrolled.add_metric([], float(shown.host_state in {"enrolled", "retiring"}))
    phase = _gauge("flopgate_host_phase", "How far rules bite on this host.", "phase")
    for value in pb.Phase.values():
        if value:
            phase.add_metric([word_of(pb.Phase.DESCRIPTOR, value)], float(value == shown.phase))
    made = _counter("flopgate_reports", "Reports that the gate has made since it was installed.")
    made.add_metric([], shown.sequence)
    kept = _counter("flopgate_reports_acknowledged", "Of these, acknowledged by every authority.")
    kept.add_metric([], shown.acknowledged_sequence)
    found = _counter("flopgate_findings", "Findings in this run of the gate.", "id")
    for finding in shown.findings:
        found.add_metric([finding.id], finding.count)
    merges = _gauge(
        "flopgate_cluster_merges",
        "Other clusters that are one with the host's own, or may be.",
        "authority cluster other state",
    )
    # Two clusters can have more than one thing in common.
    for labels in sorted(
        {
            (one.authority, one.cluster, one.other, word_of(pb.MergeState.DESCRIPTOR, one.state))
            for one in shown.cluster_merges
        }
    ):
        merges.add_metric(labels, 1)
    free = _gauge("flopgate_ledger_free_bytes", "Room left where the gate's ledger lies.")
    if shown.HasField("ledger_free_bytes"):
        free.add_metric([], shown.ledger_free_bytes)
    return (enrolled, phase, made, kept, found, merges, free)


def _of_licenses(licenses: Iterable[pb.LicenseSnapshot]) -> Iterable[Metric]:
    used = _gauge(
        "flopgate_license_used_seconds", "Running time used of a license.", "authority state"
    )
    span = _gauge("flopgate_license_span_seconds", "Its span of running time.", "authority state")
    ends = _gauge(
        "flopgate_license_end_timestamp_seconds",
        "When a license ends at the latest.",
        "authority state",
    )
    for held in licenses:
        state = word_of(pb.LicenseState.DESCRIPTOR, held.state)
        used.add_metric([held.authority, state], held.used_ms / 1000)
        span.add_metric([held.authority, state], held.span_ms / 1000)
        ends.add_metric([held.authority, state], held.not_after_unix_ms / 1000)
    return (used, span, ends)


def _of_lanes(lanes: Iterable[pb.LaneSnapshot]) -> Iterable[Metric]:
    state = _gauge("flopgate_lane_state", "State of a workload's lane.", "workload state")
    may = _gauge("flopgate_lane_may_start", "Whether a job may start now.", "workload")
    stop = _gauge("flopgate_lane_stopped", "Why a lane may not compute.", "workload reason")
    would = _gauge(
        "flopgate_lane_would_stop",
        "Why a lane would be stopped, were it enforced.",
        "workload reason",
    )
    licensed = _gauge("flopgate_lane_licensed", "Whether it runs on a license.", "workload")
    left = _gauge("flopgate_lane_permit_left_seconds", "Until the permit ends.", "workload")
    ceiling = _gauge("flopgate_lane_ceiling_left_flop", "What the ceiling covers.", "workload")
    flop = _counter("flopgate_lane_reported_flop", "FLOP reported.", "workload figure")
    allotted = _counter("flopgate_lane_allotted_flop", "FLOP under a grant.", "workload")
    other = _counter("flopgate_lane_unaccounted_flop", "FLOP under no grant.", "workload")
    for lane in lanes:
        for value in pb.LaneState.values():
            if value:
                name = word_of(pb.LaneState.DESCRIPTOR, value)
                state.add_metric([lane.workload, name], float(value == lane.state))
        may.add_metric([lane.workload], float(lane.may_start))
        licensed.add_metric([lane.workload], float(lane.licensed))
        if lane.stop_reason:
            why = would if lane.HasField("would_stop") else stop
            why.add_metric([lane.workload, lane.stop_reason], 1)
        if lane.left_ms:
            left.add_metric([lane.workload], lane.left_ms / 1000)
            ceiling.add_metric([lane.workload], lane.left_tflop * TFLOP)
        total = lane.total
        figures = (("low", total.low_tflop), ("nominal", total.nominal_tflop))
        for figure, tflop in (*figures, ("high", total.high_tflop)):
            flop.add_metric([lane.workload, figure], tflop * TFLOP)
        allotted.add_metric([lane.workload], lane.allotted_tflop * TFLOP)
        other.add_metric([lane.workload], lane.unaccounted_tflop * TFLOP)
    return (state, may, licensed, stop, would, left, ceiling, flop, allotted, other)


def _gauge(name: str, text: str, labels: str = "") -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels.split())


def _counter(name: str, text: str, labels: str = "") -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=labels.split())
