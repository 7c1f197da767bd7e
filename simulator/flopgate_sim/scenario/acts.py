"""Reads what officers do in a scenario: pauses, policies, rulings, seats."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final, cast, get_args

from flopgate_proto.limits import COUNT_MAX
from flopgate_sim.scenario.events import read_authority
from flopgate_sim.scenario.fleet import scopes_of
from flopgate_sim.scenario.table import DURATION_S_MAX, ScenarioTable
from flopgate_sim.scenario.values import ActKind, OfficerAct, Scenario

OFFICER_KEYS: Final = (
    "at_s", "act", "scope", "authority", "budget_tflop", "phase", "host", "clusters", "parents",
    "tier", "prior_tflop", "fallback_s",
)  # fmt: skip
_WORKS: Final = ("train", "serve")
_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "budget_tflop": ("policy_budget",),
    "phase": ("policy_phase",),
    "host": ("adopt", "close", "relieve"),
    "clusters": ("unite", "apart"),
    "parents": _WORKS,
    "tier": _WORKS,
    "prior_tflop": _WORKS,
    "fallback_s": ("demote", "fallback"),
    "scope": ("pause", "emergency", "policy_budget", "policy_phase", "relieve", *_WORKS),
}
"""With which acts a key has a meaning."""
_OF_WORKLOADS: Final = ("relieve", *_WORKS)
_SCOPED: Final = ("policy_budget", *_OF_WORKLOADS)


def read_acts(tables: Sequence[ScenarioTable], scenario: Scenario) -> tuple[OfficerAct, ...]:
    """What officers do, by time.

    Raises:
        ConfigError: one is wrong, or names what is not there.
    """
    scopes = scopes_of(scenario.clusters)
    found = [_act(table, scenario, scopes) for table in tables]
    return tuple(sorted(found, key=lambda act: act.at_ms))


def _act(table: ScenarioTable, scenario: Scenario, scopes: frozenset[str]) -> OfficerAct:
    kind = cast("ActKind", table.choice("act", None, get_args(ActKind)))
    if kind == "resume":
        table.alone(("scope",), "has no meaning: a resume lifts every pause of its authority")
    for key, acts in _OF.items():
        if kind not in acts:
            words = " or ".join(f'"{one}"' for one in acts)
            table.alone((key,), f"has a meaning only with act = {words}")
    act = OfficerAct(
        at_ms=table.moment_ms("at_s", most_s=scenario.duration_s),
        act=kind,
        scope=_scope(table, kind, scopes),
        authority=read_authority(table, scenario),
    )
    match kind:
        case "policy_budget":
            return replace(act, budget_tflop=table.number("budget_tflop", None, 0, COUNT_MAX))
        case "policy_phase":
            return replace(act, phase=table.phase("phase", None))
        case "adopt" | "close" | "relieve":
            return replace(act, host=table.number("host", None, 0, scenario.hosts - 1))
        case "unite" | "apart":
            least = 2 if kind == "unite" else 1
            known = {cluster.name for cluster in scenario.clusters}
            return replace(act, clusters=_named(table, "clusters", known, least))
        case "train" | "serve":
            return _registered(table, scenario, act, scopes)
        case "demote" | "promote" | "fallback":
            return _seats(table, scenario, act)
        case _:
            return act


def _scope(table: ScenarioTable, kind: str, scopes: frozenset[str]) -> str:
    if kind == "policy_phase":
        # A phase holds for hosts, whatever they compute.
        scopes = frozenset(scope for scope in scopes if not scope.startswith("workload:"))
    if kind in _OF_WORKLOADS:
        scopes = frozenset(scope for scope in scopes if scope.startswith("workload:"))
    if kind not in _OF["scope"]:
        return "everything"
    scope = table.text("scope", None if kind in _SCOPED else "everything")
    if scope not in scopes:
        raise table.fault("scope", f"must be one of {', '.join(sorted(scopes))}")
    return scope


def _named(
    table: ScenarioTable, key: str, known: Collection[str], least: int = 0
) -> tuple[str, ...]:
    names = table.lines(key)
    if len(names) < least or not set(names).issubset(known):
        count = f" {least} or more" if least else ""
        raise table.fault(key, f"must list{count} of {', '.join(sorted(known))}")
    return names


def _registered(
    table: ScenarioTable, scenario: Scenario, act: OfficerAct, scopes: frozenset[str]
) -> OfficerAct:
    works = {scope.removeprefix("workload:") for scope in scopes if scope.startswith("workload:")}
    return replace(
        act,
        parents=_named(table, "parents", works - {act.scope.removeprefix("workload:")}),
        tier=table.number("tier", 0, 0, len(scenario.policy.tiers)),
        prior_tflop=table.number("prior_tflop", 0, 0, COUNT_MAX),
    )


def _seats(table: ScenarioTable, scenario: Scenario, act: OfficerAct) -> OfficerAct:
    others = scenario.authorities.names[1:]
    if act.act != "fallback" and len(others) != 1:
        raise table.fault("act", "must be of one of two authorities: it speaks of the other one")
    needed = None if act.act == "fallback" else 0
    span_s = table.number("fallback_s", needed, 0, DURATION_S_MAX)
    return replace(act, fallback_ms=span_s * 1000)
