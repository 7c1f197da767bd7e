"""Which orders loosen, rule by rule (law 6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flopgate_proto.loosening import (
    LESS_IS_LOOSER,
    MORE_IS_LOOSER,
    MORE_THAN_DEFAULT,
    InForce,
    loosened,
)
from flopgate_proto.values import (
    Budget,
    CapacityBasis,
    ChargedFigure,
    Order,
    Phase,
    PhaseRule,
    Policy,
    Role,
    Scope,
    ScopeKind,
    Seat,
    Standing,
    Tier,
    TrustRoot,
    WorkloadKind,
)
from tests.support import further_orders, orders
from tests.support.fixed import CLUSTER_SCOPE, OFFICER_KEYS, STRANGER_KEY

EVERYTHING = Scope(ScopeKind.EVERYTHING)
SITE = Scope(ScopeKind.SITE, "s")
POLICY = orders.policy(
    cluster_link_mbit_per_s=100_000,
    license_step_ms=60_000,
    loosening_delay_ms=86_400_000,
    closures_max=3,
    closures_span_ms=1_000,
)
NOW = InForce(trust=orders.trust(), policy=POLICY)


def waits(order: Order, now: InForce = NOW) -> bool:
    return bool(loosened(order, now))


@pytest.mark.parametrize("name", [*MORE_IS_LOOSER, *LESS_IS_LOOSER, *MORE_THAN_DEFAULT])
def test_law_6_a_figure_waits_in_one_direction_only(name: str) -> None:
    looser, stricter = (1, -1) if name not in LESS_IS_LOOSER else (-1, 1)
    held = getattr(POLICY, name)
    if name == "charged_figure":
        assert waits(replace(POLICY, charged_figure=ChargedFigure.LOW))
        assert not waits(replace(POLICY, charged_figure=ChargedFigure.HIGH))
        return
    change: dict[str, Any] = {name: held + looser}
    (said,) = loosened(replace(POLICY, **change), NOW)
    assert name in said
    change = {name: held + stricter}
    assert not waits(replace(POLICY, **change))


@pytest.mark.parametrize(("name", "default"), MORE_THAN_DEFAULT.items())
def test_law_6_a_figure_left_out_waits_where_what_it_stands_for_is_more(
    name: str, default: int
) -> None:
    def policy(value: int) -> Policy:
        change: dict[str, Any] = {name: value}
        return replace(POLICY, **change)

    assert waits(policy(0), replace(NOW, policy=policy(default - 1)))
    assert not waits(policy(0), replace(NOW, policy=policy(default + 1)))
    assert not waits(policy(default - 1), replace(NOW, policy=policy(0)))


def test_every_figure_of_a_policy_has_a_direction() -> None:
    """A field that nobody thought of would loosen at once."""
    told = {*MORE_IS_LOOSER, *LESS_IS_LOOSER, *MORE_THAN_DEFAULT}
    elsewhere = {"authority", "authority_id", "version", "capacity_basis"}
    elsewhere |= {"budgets", "phases", "tiers"}
    elsewhere |= {"register_tflop", "prohibit_tflop", "prohibit_tflop_per_s", "reserve_after_ms"}
    assert told | elsewhere == set(Policy.__dataclass_fields__)


def test_law_6_a_tier_of_workloads_waits_where_it_rises_or_falls_away() -> None:
    def check(tier: Policy, more: Policy, less: Policy) -> None:
        now = replace(NOW, policy=tier)
        assert waits(more, now)
        assert waits(POLICY, now)
        assert not waits(less, now)
        assert not waits(tier)

    check(*(replace(POLICY, register_tflop=tflop) for tflop in (1_000, 1_001, 999)))
    check(*(replace(POLICY, prohibit_tflop=tflop) for tflop in (1_000, 1_001, 999)))
    check(*(replace(POLICY, prohibit_tflop_per_s=rate) for rate in (1_000, 1_001, 999)))
    check(*(tiers((tflop, 9)) for tflop in (1_000, 1_001, 999)))
    check(*(tiers((9, rate)) for rate in (1_000, 1_001, 999)))
    # Another tier on top lets whoever has its approval go further; without it he has the one below.
    check(tiers((5, 5), (9, 9)), tiers((5, 5), (9, 9), (10, 9)), tiers((5, 5)))


def test_law_6_reserve_licenses_wait_where_they_become_possible_or_open_sooner() -> None:
    now = replace(NOW, policy=replace(POLICY, reserve_after_ms=1_000))
    assert waits(replace(POLICY, reserve_after_ms=999), now)
    assert not waits(replace(POLICY, reserve_after_ms=1_001), now)
    assert not waits(POLICY, now)
    assert waits(replace(POLICY, reserve_after_ms=1_000))


def test_an_approval_of_licenses_waits_for_nobody() -> None:
    """Policy bounds it, and what it may spend is held from the budgets."""
    assert not waits(further_orders.approval())


def tiers(*allowed: tuple[int, int]) -> Policy:
    made = (Tier(training_tflop=tflop, inference_tflop_per_s=rate) for tflop, rate in allowed)
    return replace(POLICY, tiers=tuple(made))


def test_law_6_a_workload_that_is_registered_or_approved_waits() -> None:
    first = further_orders.registration(tier=1, parents=("a",), prior_tflop=5)
    now = replace(NOW, registered={first.workload: first})
    assert waits(first)
    assert waits(replace(first, workload="another"), now)
    assert waits(replace(first, tier=2), now)
    assert not waits(replace(first, tier=0, parents=("a", "b"), prior_tflop=6), now)


@pytest.mark.parametrize(
    ("kind", "register_tflop", "allowed", "tier", "expected"),
    [
        # Without a rule for what nobody approved, tier 0 is bound by nothing.
        (WorkloadKind.TRAINING, 0, [(5, 5)], 0, True),
        (WorkloadKind.INFERENCE, 0, [(5, 5)], 0, True),
        (WorkloadKind.TRAINING, 4, [(5, 5)], 0, False),
        (WorkloadKind.INFERENCE, 4, [(5, 5)], 0, False),
        # Tiers that officers signed need not stand in their order.
        (WorkloadKind.TRAINING, 4, [(7, 5), (6, 6)], 1, True),
        (WorkloadKind.TRAINING, 4, [(6, 7), (6, 6)], 1, False),
        (WorkloadKind.INFERENCE, 4, [(6, 7), (6, 6)], 1, True),
    ],
)
def test_law_6_a_lower_tier_that_allows_more_waits(
    kind: WorkloadKind,
    register_tflop: int,
    allowed: list[tuple[int, int]],
    tier: int,
    *,
    expected: bool,
) -> None:
    policy = replace(tiers(*allowed), register_tflop=register_tflop)
    old = further_orders.registration(kind=kind, tier=len(allowed))
    now = replace(NOW, policy=policy, registered={old.workload: old})
    assert waits(replace(old, tier=tier), now) is expected


def test_capacity_by_the_lower_rate_waits() -> None:
    lower = replace(POLICY, capacity_basis=CapacityBasis.DENSE_16BIT)
    assert waits(lower)
    assert not waits(POLICY, replace(NOW, policy=lower))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({CLUSTER_SCOPE: 5}, {CLUSTER_SCOPE: 6}, True),
        ({CLUSTER_SCOPE: 5}, {CLUSTER_SCOPE: 4}, False),
        ({SITE: 5}, {}, True),
        ({}, {SITE: 5}, False),
        # A covered cluster without a budget is granted nothing.
        ({}, {CLUSTER_SCOPE: 5}, True),
    ],
)
def test_law_6_caps(before: dict[Scope, int], after: dict[Scope, int], *, expected: bool) -> None:
    old, new = (
        replace(POLICY, budgets=tuple(Budget(scope=s, cap_tflop=cap) for s, cap in caps.items()))
        for caps in (before, after)
    )
    assert waits(new, replace(NOW, policy=old)) is expected


def rule(phase: Phase, from_unix_ms: int = 0, scope: Scope = EVERYTHING) -> PhaseRule:
    return PhaseRule(scope=scope, phase=phase, from_unix_ms=from_unix_ms)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((rule(Phase.ENFORCE),), (rule(Phase.WARN),), True),
        ((rule(Phase.WARN),), (rule(Phase.ENFORCE),), False),
        ((), (rule(Phase.ENFORCE, 5),), False),
        ((), (rule(Phase.WARN),), True),
        ((rule(Phase.OBSERVE),), (), False),
        # Without its own rule the site may fall under a looser one of everything.
        ((rule(Phase.WARN, 0, SITE),), (), True),
        # The date of enforcement is put off.
        (
            (rule(Phase.WARN), rule(Phase.ENFORCE, 50)),
            (rule(Phase.WARN), rule(Phase.ENFORCE, 60)),
            True,
        ),
        (
            (rule(Phase.WARN), rule(Phase.ENFORCE, 50)),
            (rule(Phase.WARN), rule(Phase.ENFORCE, 40)),
            False,
        ),
    ],
)
def test_law_6_phases(
    before: tuple[PhaseRule, ...], after: tuple[PhaseRule, ...], *, expected: bool
) -> None:
    now = replace(NOW, policy=replace(POLICY, phases=before))
    assert waits(replace(POLICY, phases=after), now) is expected


def test_the_first_policy_loosens_nothing() -> None:
    assert not waits(POLICY, InForce(trust=orders.trust()))


def root(**roles: tuple[int, tuple[int, ...]]) -> TrustRoot:
    """The next root, with these roles changed: threshold and keys."""
    base = orders.trust_root(version=2)
    changed = {name: Role(name=name, threshold=t, keys=keys) for name, (t, keys) in roles.items()}
    return replace(base, roles=tuple(changed.get(role.name, role) for role in base.roles))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (root(), False),
        (root(resume=(1, (0, 1, 2))), True),
        (root(resume=(3, (0, 1, 2))), False),
        (root(resume=(2, (0, 1))), False),
        (root(policy=(1, (0, 1))), True),
        # Who can only stop others must not be silenced at once.
        (root(pause=(2, (0, 1, 2))), True),
        (root(pause=(1, (0, 1))), True),
        (root(veto=(1, (0, 1))), True),
        (root(revoke=(3, (0, 1, 2))), True),
        # A pause that only revoked keys signed is lifted without delay: fewer who revoke loosen.
        (root(revoke=(1, (0, 1, 2))), True),
        (root(confirm=(1, (0, 1, 2))), False),
    ],
)
def test_law_6_trust_roots(order: TrustRoot, *, expected: bool) -> None:
    assert waits(order) is expected


def test_law_6_an_officer_more_waits() -> None:
    base = root()
    keys = (*base.keys, replace(base.keys[0], name="new", spki=STRANGER_KEY.spki))
    more = replace(root(resume=(2, (0, 1, 2, 3))), keys=keys)
    assert loosened(more, NOW) == ("new gains the role resume",)


def test_law_6_one_officer_who_becomes_two_waits() -> None:
    base = root()
    same = replace(base, keys=tuple(replace(key, name="one") for key in base.keys))
    assert waits(same)


def test_law_6_what_no_quorum_may_hurry() -> None:
    assert waits(orders.resume())
    assert waits(further_orders.adoption())
    assert waits(further_orders.relief())
    assert waits(orders.ruling(clusters=("a",), apart=True))


def test_law_6_what_restrains_never_waits() -> None:
    free: tuple[Order, ...] = (
        orders.pause(),
        further_orders.veto(),
        further_orders.confirmation(),
        further_orders.revocation(),
        further_orders.closure(),
        orders.delegation(),
        orders.reconciliation(),
        orders.ruling(),
    )
    assert not any(map(waits, free))


def test_law_6_pauses_of_a_suspected_key_are_reviewed_without_delay() -> None:
    lifted = orders.resume()
    suspected = frozenset(lifted.lifts)
    assert not waits(lifted, replace(NOW, suspected=suspected))
    more = orders.resume(lifts=(*lifted.lifts, bytes(32)))
    assert waits(more, replace(NOW, suspected=suspected))


def test_law_6_a_seat_lost_waits_and_one_given_back_does_not() -> None:
    demoted = further_orders.seats()
    assert waits(demoted)
    back = further_orders.seats(version=2, seats=())
    assert not waits(back, replace(NOW, seats=demoted))
    again = replace(demoted, version=3)
    assert not waits(again, replace(NOW, seats=demoted))
    other = Seat(authority="third.example", standing=Standing.RECIPIENT)
    assert waits(replace(demoted, seats=(*demoted.seats, other)), replace(NOW, seats=demoted))


def test_law_6_a_fallback_waits_and_one_that_ends_or_comes_later_does_not() -> None:
    signed = further_orders.seats(seats=(), fallback_ms=1_000)
    assert waits(signed)
    assert waits(replace(signed, fallback_ms=2**63 - 1))
    now = replace(NOW, seats=signed)
    assert waits(replace(signed, fallback_ms=999), now)
    assert not waits(replace(signed, fallback_ms=1_001), now)
    assert not waits(replace(signed, fallback_ms=0), now)


def test_law_6_keys_of_one_name_are_one_officer() -> None:
    base = orders.trust_root()
    twins = replace(
        base, keys=(base.keys[0], replace(base.keys[1], name=base.keys[0].name), base.keys[2])
    )
    envelope = orders.sealed_order(twins, [OFFICER_KEYS[0], OFFICER_KEYS[2]])
    trust = type(NOW.trust).stored(envelope)
    assert not trust.fills("resume", frozenset(key.key_id for key in OFFICER_KEYS[:2]))
    assert trust.fills("resume", frozenset(key.key_id for key in OFFICER_KEYS[1:]))
