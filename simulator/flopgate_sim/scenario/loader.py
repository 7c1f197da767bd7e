"""Reads a scenario from its TOML file: keys are a closed set, faults name file, key and mend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from flopgate_agent.gate.settings import REPORT_INTERVAL_MS
from flopgate_agent.toml_table import read_values
from flopgate_proto.limits import KEYS_MAX
from flopgate_sim.scenario.acts import OFFICER_KEYS, read_acts
from flopgate_sim.scenario.clusters import CLUSTER_KEYS, read_clusters
from flopgate_sim.scenario.errands import ERRAND_KEYS, read_errands
from flopgate_sim.scenario.events import (
    FAULT_KEYS,
    JOB_KEYS,
    read_faults,
    read_jobs,
)
from flopgate_sim.scenario.kinds import KINDS
from flopgate_sim.scenario.policies import read_policy
from flopgate_sim.scenario.table import DURATION_S_MAX, ScenarioTable
from flopgate_sim.scenario.values import (
    Authorities,
    Faults,
    GateWiring,
    Network,
    Scenario,
)

AUTHORITIES: Final = ("home.example", "international.example", "neighbour.example")
DRIFT_PPM_MAX: Final = 100_000
LATENCY_MS_MAX: Final = 60_000
RATE_PER_H_MAX: Final = 3_600.0

TOP_KEYS: Final = (
    "name", "summary", "duration_s", "expect", "cluster", "gate", "policy", "authorities",
    "network", "faults", "fault", "officer", "errand", "job",
)  # fmt: skip
GATE_KEYS: Final = ("looks", "report_interval_ms")
AUTHORITIES_KEYS: Final = ("count", "officers", "quorum")
NETWORK_KEYS: Final = ("latency_ms", "loss_percent", "duplicate_percent", "reorder_percent")
FAULTS_KEYS: Final = ("clock_drift_ppm", *KINDS)


def load_scenario(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        ConfigError: names file, key and remedy.
    """
    top = ScenarioTable(str(path), read_values(path), TOP_KEYS)
    clusters = read_clusters(top.tables("cluster", CLUSTER_KEYS), top)
    authorities = _authorities(top.table("authorities", AUTHORITIES_KEYS))
    scenario = Scenario(
        name=top.name("name"),
        summary=top.line("summary"),
        duration_s=top.number("duration_s", None, 1, DURATION_S_MAX),
        expect=top.lines("expect"),
        clusters=clusters,
        policy=read_policy(top, clusters),
        gate=_gate(top.table("gate", GATE_KEYS)),
        authorities=authorities,
        network=_network(top.table("network", NETWORK_KEYS)),
        faults=_faults(top.table("faults", FAULTS_KEYS)),
    )
    return replace(
        scenario,
        timed_faults=read_faults(top.tables("fault", FAULT_KEYS), scenario),
        acts=read_acts(top.tables("officer", OFFICER_KEYS), scenario),
        errands=read_errands(top.tables("errand", ERRAND_KEYS), scenario),
        jobs=read_jobs(top.tables("job", JOB_KEYS), scenario),
    )


def _gate(table: ScenarioTable) -> GateWiring:
    return GateWiring(
        looks_ms=table.number_unless("looks", "latest", 100, 60_000),
        report_interval_ms=table.number("report_interval_ms", REPORT_INTERVAL_MS, 1_000, 3_600_000),
    )


def _authorities(table: ScenarioTable) -> Authorities:
    count = table.number("count", 1, 1, len(AUTHORITIES))
    officers = table.number("officers", 3, 1, KEYS_MAX)
    quorum = table.number("quorum", min(2, officers), 1, officers)
    return Authorities(names=AUTHORITIES[:count], officers=officers, quorum=quorum)


def _network(table: ScenarioTable) -> Network:
    return Network(
        latency_ms=table.rising("latency_ms", (1, 50), LATENCY_MS_MAX),
        loss_percent=table.ratio("loss_percent", 0.0, 0, 100),
        duplicate_percent=table.ratio("duplicate_percent", 0.0, 0, 100),
        reorder_percent=table.ratio("reorder_percent", 0.0, 0, 100),
    )


def _faults(table: ScenarioTable) -> Faults:
    rates = {kind: table.ratio(kind, 0.0, 0, RATE_PER_H_MAX) for kind in KINDS}
    return Faults(
        rates_per_h=tuple(sorted((kind, rate) for kind, rate in rates.items() if rate)),
        clock_drift_ppm=table.number("clock_drift_ppm", 0, 0, DRIFT_PPM_MAX),
    )
