"""What is held back of a budget: reserves, grants that a rollback lost, and what is prohibited."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_governor.core.decide import Asked, Standing, decide
from flopgate_governor.core.facts import (
    Books,
    Grant,
    LaneFacts,
    Licensed,
)
from flopgate_governor.core.orders import GovernorBook, Mandate, caps_of
from flopgate_proto.values import Budget, Ceiling, Refusal, Scope, ScopeKind, SingleUse
from tests.support import orders
from tests.support.fixed import PERMIT_KEY
from tests.support.governor import POLICY, FakeHost
from tests.support.host_facts import facts

CHIPS_TFLOP = 10**9
"""More than there are chips for."""
GRANT = Grant(
    request_digest=bytes(32),
    sequence=3,
    made_ms=0,
    run_nonce=bytes(16),
    lifetime_ms=1_000,
    held_tflop=300,
    governor_unix_ms=0,
)


def asked(*grants: Grant) -> Asked:
    (lane,) = FakeHost(1, chips=0).value().lanes
    known = LaneFacts(workload=lane.workload, allotted_tflop=100, grants=grants)
    return Asked(lane=lane, facts=known, headroom_tflop=1)


def test_law_2_a_ceiling_covers_the_one_before_and_no_reserve_on_top() -> None:
    told = Licensed(told_tflop=50, not_after_unix_ms=0, single_use=SingleUse.TPM, reserve=True)
    reserve = replace(GRANT, held_tflop=50, license=told)
    assert asked(GRANT, reserve).facts.outstanding_tflop == 250
    assert asked(GRANT, reserve).own_tflop == 200


@pytest.mark.parametrize(
    ("covered", "scopes", "waits_exempt"),
    [
        ({"c1"}, ("cluster:c1",), False),
        ({"c1"}, ("cluster:c1", "custodian:cu"), True),
        (set(), ("cluster:c1",), True),
    ],
    ids=["its own budget", "one that exempt hosts share", "exempt itself"],
)
def test_law_2_lost_grants_run_as_long_as_any_of_the_budget_can(
    covered: set[str], scopes: tuple[str, ...], *, waits_exempt: bool
) -> None:
    policy = replace(POLICY, drift_ppm=0)
    assert policy.lifetime_ms < policy.exempt_lifetime_ms
    runs_ms = policy.exempt_lifetime_ms if waits_exempt else policy.lifetime_ms

    def outcome(unix_ms: int) -> Ceiling | Refusal:
        standing = Standing(
            halt=None,
            policy=policy,
            mandate=Mandate.GIVEN,
            covered=frozenset(covered),
            budgets=dict.fromkeys(scopes, CHIPS_TFLOP),
            unix_ms=unix_ms,
            reconciled_unix_ms=0,
        )
        return decide(
            asked(),
            host=facts(FakeHost(1)),
            pauses=(),
            stale=False,
            books=Books(),
            standing=standing,
        ).outcome

    early = outcome(runs_ms - 1)
    assert isinstance(early, Refusal)
    assert early.reason == "governor.reconciling"
    assert isinstance(outcome(runs_ms), Ceiling)


def test_law_2_no_budget_of_a_workload_lies_above_what_is_prohibited() -> None:
    scopes = (Scope(ScopeKind.WORKLOAD, "w1"), Scope(ScopeKind.CLUSTER, "c1"))
    policy = replace(
        POLICY,
        prohibit_tflop=1_000,
        budgets=tuple(Budget(scope=scope, cap_tflop=2_000) for scope in scopes),
    )
    assert caps_of(policy) == {"workload:w1": 1_000, "cluster:c1": 2_000}
    assert caps_of(replace(policy, prohibit_tflop=0))["workload:w1"] == 2_000


def test_law_6_a_delegation_lets_sign_from_its_least_policy_on() -> None:
    book = GovernorBook.first(orders.sealed_order(orders.trust_root()))
    delegation = orders.delegation(permit_spki=PERMIT_KEY.spki, least_policy_version=2)
    book = book.accept(orders.sealed_order(delegation), 1)
    assert book.mandate(PERMIT_KEY.key_id) is Mandate.MISSING
    for version, mandate in ((1, Mandate.MISSING), (2, Mandate.GIVEN)):
        book = book.accept(orders.sealed_order(orders.policy(version=version)), 2)
        assert book.mandate(PERMIT_KEY.key_id) is mandate
