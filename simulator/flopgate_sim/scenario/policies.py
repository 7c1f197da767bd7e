"""Reads the policy of a scenario: the shipped one, but for what the scenario says."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace

from flopgate_governor.policies import bounds
from flopgate_governor.policies.form import DEFAULT_POLICY, FORM_KEYS, policy_of
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_proto.values.orders import Budget, Policy
from flopgate_sim.scenario.table import ScenarioTable
from flopgate_sim.scenario.values import Cluster

DEFAULTS = tomllib.loads(DEFAULT_POLICY.format(authority="every authority"))
POLICY_KEYS = tuple(key for key in FORM_KEYS if key != "version")


def default_policy() -> Policy:
    """What a governor ships with, without an authority and without budgets."""
    return policy_of(DEFAULTS, "the shipped policy", "", 1)


def with_budgets(policy: Policy, clusters: Sequence[Cluster]) -> Policy:
    """The policy with a budget for every cluster, before those that it has."""
    caps = {cluster.name: cluster.budget_tflop for cluster in clusters}
    budgets = tuple(
        Budget(scope=Scope(ScopeKind.CLUSTER, name), cap_tflop=COUNT_MAX if cap is None else cap)
        for name, cap in caps.items()
    )
    return replace(policy, budgets=(*budgets, *policy.budgets))


def read_policy(top: ScenarioTable, clusters: Sequence[Cluster]) -> Policy:
    """The policy, with a budget for every cluster.

    Raises:
        ConfigError: a key is unknown or out of range, no host could live by it, or a budget is
            given where its cluster has one.
    """
    table = top.table("policy", POLICY_KEYS)
    given = {key: table.raw(key) for key in POLICY_KEYS if table.has(key)}
    policy = policy_of(DEFAULTS | given, table.where, "", 1)
    if any(budget.scope.kind is ScopeKind.CLUSTER for budget in policy.budgets):
        raise table.fault("budgets", "must not name a cluster: write its budget_tflop there")
    policy = with_budgets(policy, clusters)
    for fault in bounds.faults(policy):
        raise ConfigError(
            f"{table.where}: {fault.key} {fault.problem}", code="policy.bounds", remedy=fault.mend
        )
    return policy
