"""Law 6: how far an online key can go, to the last unit of what officers signed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_agent.gate.authorities.permit_bounds import bounded_permit
from flopgate_proto.codec import decode_answer
from flopgate_proto.errors import ForgedError
from flopgate_proto.values import Answer, Terms
from tests.support import orders
from tests.support.fixed import WORKLOAD
from tests.support.gate_rig import GateRig, running

ALLOTTED_TFLOP = 7


def answered(rig: GateRig, **terms: object) -> Answer:
    """The newest answer, with other terms."""
    kept = rig.core.authorities[rig.authority.name].last_answer
    assert kept is not None
    answer = decode_answer(kept[1].payload)
    assert answer.terms is not None
    return replace(answer, terms=replace(answer.terms, **terms))  # type: ignore[arg-type]


def bounded(rig: GateRig, answer: Answer, above_tflop: int) -> tuple[Terms, dict[str, int]]:
    return bounded_permit(
        answer,
        {WORKLOAD: ALLOTTED_TFLOP},
        rig.core.authorities[rig.authority.name],
        rig.core.settings,
        {WORKLOAD: ALLOTTED_TFLOP + above_tflop},
    )


def test_a_ceiling_lies_at_most_as_high_as_policy_says() -> None:
    rig = running()
    most_tflop = rig.authority.policy.headroom_max_tflop
    _, ceilings = bounded(rig, answered(rig), most_tflop)
    assert ceilings == {WORKLOAD: ALLOTTED_TFLOP + most_tflop}
    with pytest.raises(ForgedError, match=r"permit\.beyond-policy"):
        bounded(rig, answered(rig), most_tflop + 1)


def test_a_ceiling_within_a_policy_that_waits_is_cut_to_the_one_in_force() -> None:
    rig = running()
    policy = replace(rig.authority.policy, loosening_delay_ms=60_000)
    rig.order(orders.sealed_order(replace(policy, version=policy.version + 1)))
    most_tflop = policy.headroom_max_tflop
    waits = replace(policy, version=policy.version + 2, headroom_max_tflop=most_tflop + 5)
    rig.order(orders.sealed_order(waits))
    _, ceilings = bounded(rig, answered(rig), most_tflop + 5)
    assert ceilings == {WORKLOAD: ALLOTTED_TFLOP + most_tflop}
    with pytest.raises(ForgedError, match=r"permit\.beyond-policy"):
        bounded(rig, answered(rig), most_tflop + 6)


@pytest.mark.parametrize(("below", "exempt"), [(0, False), (1, True)])
def test_a_host_at_the_threshold_is_covered_and_below_it_bounded_by_it(
    below: int, exempt: bool
) -> None:
    rig = running()
    basis = rig.authority.policy.capacity_basis
    threshold = rig.core.settings.capacity_tflop_per_s(basis) + below
    rig.order(rig.authority.policy_order(threshold_tflop_per_s=threshold))
    policy = rig.core.authorities[rig.authority.name].policy
    assert policy is not None
    answer = answered(rig, exempt=True)
    most_tflop = threshold * policy.exempt_lifetime_ms // 1_000
    if exempt:
        terms, ceilings = bounded(rig, answer, most_tflop)
        assert (terms.exempt, ceilings) == (True, {WORKLOAD: ALLOTTED_TFLOP + most_tflop})
    with pytest.raises(ForgedError, match=r"permit\.beyond-policy"):
        bounded(rig, answer, most_tflop + 1 if exempt else 0)
