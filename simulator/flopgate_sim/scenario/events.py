"""Reads what happens at stated moments of a scenario: faults and jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flopgate_sim.scenario.kinds import HOST, KINDS
from flopgate_sim.scenario.table import DURATION_S_MAX, ScenarioTable
from flopgate_sim.scenario.values import (
    Scenario,
    TimedFault,
    TimedJob,
)

VALUE_MAX: Final = 10**9
"""Of a fault's number, either way."""

FAULT_KEYS: Final = ("at_s", "kind", "host", "cluster", "authority", "span_s", "value")
JOB_KEYS: Final = ("name", "host", "chips", "start_s", "end_s", "utilisation_percent")


def read_faults(tables: Sequence[ScenarioTable], scenario: Scenario) -> tuple[TimedFault, ...]:
    """Explicit faults, by time.

    Raises:
        ConfigError: one is wrong, or befalls what is not there.
    """
    found = [_fault(table, scenario) for table in tables]
    return tuple(sorted(found, key=lambda fault: fault.at_ms))


def _fault(table: ScenarioTable, scenario: Scenario) -> TimedFault:
    name = table.choice("kind", None, KINDS)
    kind = KINDS[name]
    if kind.span_ms is None:
        table.alone(("span_s",), f"has no meaning: {name} has no length")
    if kind.value is None:
        table.alone(("value",), f"has no meaning: {name} has no number")
    hosts: tuple[int, ...] = ()
    authorities: tuple[int, ...] = ()
    if kind.target == HOST:
        table.alone(("authority",), f"has no meaning: {name} befalls hosts")
        hosts = read_hosts(table, scenario)
    else:
        table.alone(("host", "cluster"), f"has no meaning: {name} befalls an authority")
        authorities = (read_authority(table, scenario),)
    least = -VALUE_MAX if kind.value is not None and kind.value[0] < 0 else 0
    return TimedFault(
        at_ms=table.moment_ms("at_s", most_s=scenario.duration_s),
        kind=name,
        hosts=hosts,
        authorities=authorities,
        span_ms=table.moment_ms("span_s", most_s=DURATION_S_MAX, default=0),
        value=table.number("value", 0 if kind.value is None else None, least, VALUE_MAX),
    )


def read_hosts(table: ScenarioTable, scenario: Scenario) -> tuple[int, ...]:
    """Numbers of the hosts that ``host`` or ``cluster`` names.

    Raises:
        ConfigError: not one of the two is there, or it names nothing.
    """
    if table.has("host") == table.has("cluster"):
        raise table.fault("host", "or cluster must be there, one of the two")
    if table.has("host"):
        return (table.number("host", None, 0, scenario.hosts - 1),)
    wanted = table.choice("cluster", None, {one.name: None for one in scenario.clusters})
    found: list[int] = []
    first = 0
    for cluster in scenario.clusters:
        if cluster.name == wanted:
            found += range(first, first + cluster.hosts)
        first += cluster.hosts
    return tuple(found)


def read_authority(table: ScenarioTable, scenario: Scenario) -> int:
    """Which authority, counted from 0.

    Raises:
        ConfigError: there are not so many.
    """
    return table.number("authority", 0, 0, len(scenario.authorities.names) - 1)


def read_jobs(tables: Sequence[ScenarioTable], scenario: Scenario) -> tuple[TimedJob, ...]:
    """Jobs with a beginning and an end, by their beginning.

    Raises:
        ConfigError: one is wrong, or runs on what is not there.
    """
    chips = [one.chips_per_host for one in scenario.clusters for _ in range(one.hosts)]
    found = [
        _job(table, number, chips, scenario.duration_s) for number, table in enumerate(tables, 1)
    ]
    return tuple(sorted(found, key=lambda job: (job.start_s, job.host)))


def _job(table: ScenarioTable, number: int, chips: Sequence[int], duration_s: int) -> TimedJob:
    host = table.number("host", None, 0, len(chips) - 1)
    start_s = table.number("start_s", 0, 0, duration_s - 1)
    return TimedJob(
        name=table.name("name", f"job-{number}"),
        host=host,
        chips=table.numbers("chips", 0, chips[host] - 1)
        if table.has("chips")
        else tuple(range(chips[host])),
        start_s=start_s,
        end_s=table.number("end_s", duration_s, start_s + 1, DURATION_S_MAX),
        utilisation_percent=table.number("utilisation_percent", 80, 0, 100),
    )
