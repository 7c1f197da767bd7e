"""Law 6: what is not said to loosen makes no host looser, at any time and in any scope."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from flopgate_proto.loosening import InForce, loosened
from flopgate_proto.phases import phase_at
from flopgate_proto.values import Phase, PhaseRule, Scope, ScopeKind
from tests.support import orders

SCOPES = (
    Scope(ScopeKind.EVERYTHING),
    Scope(ScopeKind.SITE, "a"),
    Scope(ScopeKind.CLUSTER, "b"),
    Scope(ScopeKind.CLUSTER, "c"),
)
RULES = st.lists(
    st.builds(
        PhaseRule,
        scope=st.sampled_from(SCOPES),
        phase=st.sampled_from(list(Phase)),
        from_unix_ms=st.integers(0, 4),
    ),
    max_size=4,
).map(tuple)


@given(before=RULES, after=RULES, hosts=st.sets(st.sampled_from(SCOPES[1:])))
def test_law_6_phases_that_need_not_wait_loosen_nowhere(
    before: tuple[PhaseRule, ...], after: tuple[PhaseRule, ...], hosts: set[Scope]
) -> None:
    old, new = (orders.policy(phases=rules) for rules in (before, after))
    if loosened(new, InForce(trust=orders.trust(), policy=old)):
        return
    scopes = frozenset({SCOPES[0], *hosts})
    for unix_ms in range(6):
        assert phase_at(new.phases, scopes, unix_ms) >= phase_at(old.phases, scopes, unix_ms)


@given(rules=RULES)
def test_law_6_the_same_policy_loosens_nothing(rules: tuple[PhaseRule, ...]) -> None:
    policy = orders.policy(phases=rules)
    now = InForce(trust=orders.trust(), policy=policy)
    assert not loosened(replace(policy, version=9), now)
