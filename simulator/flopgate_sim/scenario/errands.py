"""Reads who goes to hosts without a link, and what for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast, get_args

from flopgate_sim.scenario.events import read_authority, read_hosts
from flopgate_sim.scenario.table import DURATION_S_MAX, ScenarioTable
from flopgate_sim.scenario.values import ErrandKind, Scenario, TimedErrand

ON_THE_WAY_S: Final = 60
ERRAND_KEYS: Final = (
    "at_s", "errand", "host", "cluster", "authority", "span_s", "headroom_tflop", "good_for_s",
    "reserve", "out_s", "back_s", "installs", "signers",
)  # fmt: skip
_OF_ASK: Final = ERRAND_KEYS[5:12]


def read_errands(tables: Sequence[ScenarioTable], scenario: Scenario) -> tuple[TimedErrand, ...]:
    """What people carry to and from hosts, by time.

    Raises:
        ConfigError: one is wrong, asks for more than policy lets be given, or names no host.
    """
    found = [_errand(table, scenario) for table in tables]
    return tuple(sorted(found, key=lambda errand: errand.at_ms))


def _errand(table: ScenarioTable, scenario: Scenario) -> TimedErrand:
    kind = cast("ErrandKind", table.choice("errand", "ask", get_args(ErrandKind)))
    hosts = read_hosts(table, scenario)
    errand = TimedErrand(
        at_ms=table.moment_ms("at_s", most_s=scenario.duration_s),
        errand=kind,
        hosts=hosts,
        authority=read_authority(table, scenario),
    )
    if kind != "open":
        table.alone(("signers",), 'has a meaning only with errand = "open"')
    if kind == "ask":
        return _ask(table, scenario, errand)
    table.alone(_OF_ASK, 'has a meaning only with errand = "ask"')
    signers = table.number("signers", 2, 1, 3) if kind == "open" else 0
    return replace(errand, signers=signers)


def _ask(table: ScenarioTable, scenario: Scenario, errand: TimedErrand) -> TimedErrand:
    policy, reserve = scenario.policy, table.flag("reserve", default=False)
    span_ms = policy.reserve_span_ms if reserve else policy.license_span_ms
    most_tflop = policy.reserve_headroom_max_tflop if reserve else policy.license_headroom_max_tflop
    age_s = policy.license_age_ms // 1000
    if table.has("installs"):
        table.alone(("cluster",), "has no meaning beside installs, which are of one license")
    return replace(
        errand,
        span_ms=table.number("span_s", span_ms // 1000, 1, span_ms // 1000) * 1000,
        headroom_tflop=table.number("headroom_tflop", most_tflop, 1, most_tflop),
        good_for_ms=table.number("good_for_s", age_s, 1, age_s) * 1000,
        reserve=reserve,
        out_ms=table.moment_ms("out_s", most_s=DURATION_S_MAX, default=ON_THE_WAY_S),
        back_ms=table.moment_ms("back_s", most_s=DURATION_S_MAX, default=ON_THE_WAY_S),
        installs=table.repeating("installs", 0, scenario.hosts - 1),
    )
