"""What a scrape finds, as Prometheus parses it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from flopgate_agent.courier.core import State
from flopgate_agent.courier.metrics import SILENT_S, HostMetrics
from flopgate_proto.v1 import flopgate_pb2 as pb

SHOWN = pb.Snapshot(
    host_state="enrolled",
    sequence=7,
    acknowledged_sequence=6,
    phase=pb.PHASE_WARN,
    ledger_free_bytes=5_000_000_000,
    findings=[pb.FindingCount(id="meter.silent", count=3)],
    lanes=[
        pb.LaneSnapshot(
            workload="train",
            state=pb.LANE_STATE_RUNNING,
            may_start=True,
            left_ms=61_500,
            left_tflop=900,
            total=pb.Figures(low_tflop=1, nominal_tflop=2, high_tflop=4),
            allotted_tflop=2,
        ),
        pb.LaneSnapshot(
            workload="serve",
            state=pb.LANE_STATE_HALTED,
            stop_reason="pause.latched",
            unaccounted_tflop=5,
        ),
        pb.LaneSnapshot(
            workload="probe",
            state=pb.LANE_STATE_RUNNING,
            stop_reason="budget.spent",
            would_stop=pb.WouldStop(since_ms=1),
        ),
    ],
)


class Scraped:
    """Metrics at a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.metrics = HostMetrics(lambda: self.now_s)
        self._registry = CollectorRegistry()
        self._registry.register(self.metrics)

    def samples(self) -> dict[str, float]:
        """Every sample, by what stands before its value; labels in the order of their names."""
        lines = generate_latest(self._registry).decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


def _true_of(found: dict[str, float], name: str) -> list[str]:
    """Labels of this metric's samples that are not 0, sorted."""
    return sorted(key.removeprefix(name) for key in found if key.startswith(name) and found[key])


def test_clusters_that_share_two_things_are_told_once() -> None:
    shown = pb.Snapshot()
    for key in ("fabric:00", "subnet:00"):
        merge = shown.cluster_merges.add(authority="a", cluster="alpha", other="beta", key=key)
        merge.state = pb.MERGE_STATE_WAITING
    scraped = Scraped()
    scraped.metrics.saw(shown)
    found = _true_of(scraped.samples(), "flopgate_cluster_merges")
    assert found == ['{authority="a",cluster="alpha",other="beta",state="waiting"}']


def test_units_are_base_units_and_totals_are_counters() -> None:
    scraped = Scraped()
    scraped.metrics.saw(SHOWN)
    found = scraped.samples()
    assert found["flopgate_gate_up"] == 1
    assert found["flopgate_reports_total"] == 7
    assert found["flopgate_reports_acknowledged_total"] == 6
    assert found["flopgate_ledger_free_bytes"] == 5e9
    assert found['flopgate_findings_total{id="meter.silent"}'] == 3
    assert found['flopgate_lane_permit_left_seconds{workload="train"}'] == 61.5
    assert found['flopgate_lane_ceiling_left_flop{workload="train"}'] == 900e12
    assert found['flopgate_lane_reported_flop_total{figure="high",workload="train"}'] == 4e12
    assert found['flopgate_lane_unaccounted_flop_total{workload="serve"}'] == 5e12
    assert 'flopgate_lane_permit_left_seconds{workload="serve"}' not in found


def test_a_license_is_counted_by_its_span_and_its_end() -> None:
    shown = pb.Snapshot()
    held = shown.licenses.add(authority="a", span_ms=600_000, used_ms=30_000)
    held.state, held.not_after_unix_ms = pb.LICENSE_STATE_HELD, 5_000
    shown.lanes.add(workload="train", licensed=True)
    scraped = Scraped()
    scraped.metrics.saw(shown)
    found = scraped.samples()
    assert found['flopgate_lane_licensed{workload="train"}'] == 1
    assert found['flopgate_license_used_seconds{authority="a",state="held"}'] == 30
    assert found['flopgate_license_span_seconds{authority="a",state="held"}'] == 600
    assert found['flopgate_license_end_timestamp_seconds{authority="a",state="held"}'] == 5


def test_of_states_and_phases_one_is_true() -> None:
    scraped = Scraped()
    scraped.metrics.saw(SHOWN)
    found = scraped.samples()
    assert _true_of(found, "flopgate_host_phase") == ['{phase="warn"}']
    assert len([name for name in found if name.startswith("flopgate_host_phase")]) == 3
    assert _true_of(found, "flopgate_lane_state") == [
        '{state="halted",workload="serve"}',
        '{state="running",workload="probe"}',
        '{state="running",workload="train"}',
    ]
    assert len([name for name in found if name.startswith("flopgate_lane_state")]) == 3 * 5


def test_what_stops_a_lane_and_what_only_would_are_two_metrics() -> None:
    scraped = Scraped()
    scraped.metrics.saw(SHOWN)
    found = scraped.samples()
    assert found['flopgate_lane_stopped{reason="pause.latched",workload="serve"}'] == 1
    assert found['flopgate_lane_would_stop{reason="budget.spent",workload="probe"}'] == 1
    assert 'flopgate_lane_stopped{reason="budget.spent",workload="probe"}' not in found
    assert found['flopgate_lane_may_start{workload="train"}'] == 1
    assert found['flopgate_lane_may_start{workload="serve"}'] == 0


def test_a_gate_that_is_silent_is_down_and_says_nothing_of_now() -> None:
    scraped = Scraped()
    assert scraped.samples() == {"flopgate_gate_up": 0}
    scraped.metrics.saw(SHOWN)
    scraped.now_s += SILENT_S + 1
    assert scraped.samples() == {"flopgate_gate_up": 0}


def test_links_stay_visible_without_a_gate() -> None:
    scraped = Scraped()
    scraped.metrics.linked("home", State.CONNECTING, None, 0)
    scraped.metrics.linked("home", State.LINKED, 1_700_000_000_500, 90_500)
    scraped.metrics.linked("away", State.BACKING_OFF, None, 0)
    found = scraped.samples()
    assert _true_of(found, "flopgate_link_state") == [
        '{authority="away",state="backing_off"}',
        '{authority="home",state="linked"}',
    ]
    name = "flopgate_link_certificate_expiry_timestamp_seconds"
    assert found[name + '{authority="home"}'] == 1_700_000_000.5
    assert name + '{authority="away"}' not in found
    name = "flopgate_link_held_back_seconds_total"
    assert [found[f'{name}{{authority="{one}"}}'] for one in ("home", "away")] == [90.5, 0]
