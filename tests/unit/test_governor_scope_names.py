"""Names that scopes bear: who is reached, who may come, and what was meant instead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.views.scope_names import names_in, policy_remarks
from flopgate_proto.values import Budget, Phase, PhaseRule, Scope, ScopeKind
from tests.support.governor import FakeHost, LocalGovernor, cluster_policy

SITE, CLUSTER, WORKLOAD = ScopeKind.SITE, ScopeKind.CLUSTER, ScopeKind.WORKLOAD


@pytest.fixture
def governor(tmp_path: Path) -> LocalGovernor:
    """One host, of cluster c1 and site s1."""
    made = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(10**9))
    host = FakeHost(1)
    made.enroll(host, made.token())
    made.send(host.report())
    return made


def test_a_host_bears_the_names_of_its_token_and_of_its_lanes(governor: LocalGovernor) -> None:
    names = names_in(governor.state)
    (lane,) = (one for one in names.hosts if one.kind is WORKLOAD)
    for scope in (Scope(CLUSTER, "c1"), Scope(SITE, "s1"), Scope(ScopeKind.EVERYTHING), lane):
        assert names.stranger(scope) is None
        assert names.hosts[scope] == {FakeHost(1).host_id}


def test_what_a_token_or_a_policy_names_may_still_come(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite", cluster_policy(10**9))
    governor.token()
    for scope in (Scope(CLUSTER, "c1"), Scope(SITE, "s1")):
        found = names_in(governor.state).stranger(scope)
        assert found is not None
        assert (found.expected, found.words) == (True, f"no host of {scope} is here yet")


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (Scope(SITE, "S-1"), "nearest site:s1"),
        (Scope(SITE, "c1"), "nearest cluster:c1"),
        (Scope(SITE, "elsewhere"), "known are site:s1"),
    ],
)
def test_a_slip_is_told_with_what_may_have_been_meant(
    governor: LocalGovernor, scope: Scope, words: str
) -> None:
    found = names_in(governor.state).stranger(scope)
    assert found is not None
    assert found.words == f"nobody here bears the name {scope}; {words}"


def test_where_nothing_of_a_kind_is_known_nothing_is_made_up(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite")
    found = names_in(governor.state).stranger(Scope(SITE, "s1"))
    assert found is not None
    assert found.words.endswith("site:s1, nor any other of its kind")
    assert found.document() == {"scope": "site:s1", "expected": False, "nearest": []}


def test_a_policy_with_a_slip_is_remarked_once_hosts_are_here(governor: LocalGovernor) -> None:
    policy = cluster_policy(10**9, version=2)
    slip = Budget(scope=Scope(CLUSTER, "c-1"), cap_tflop=1)
    rule = PhaseRule(scope=Scope(SITE, "s2"), phase=Phase.OBSERVE, from_unix_ms=0)
    edited = replace(policy, budgets=(*policy.budgets, slip), phases=(rule,))
    names = names_in(governor.state)
    assert list(policy_remarks(policy, names)) == []
    assert [line.partition(":")[0] for line in policy_remarks(edited, names)] == [
        "a budget or phase is of cluster",
        "a budget or phase is of site",
    ]
    governor.state.store.close()


def test_before_anybody_joined_a_policy_names_whom_it_likes(tmp_path: Path) -> None:
    governor = LocalGovernor.make(tmp_path / "g.sqlite")
    assert list(policy_remarks(cluster_policy(1), names_in(governor.state))) == []
