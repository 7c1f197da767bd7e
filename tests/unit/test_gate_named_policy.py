"""Law 6: a policy makes nothing looser before a signed statement of its authority named it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_proto.errors import ForgedError
from flopgate_proto.values import Phase
from tests.support import orders
from tests.support.gate_rig import GateRig, at_once, cut
from tests.unit.test_gate_phases import DAY_MS, authority, rule, ruled_by


def gate_of(rig: GateRig) -> Authority:
    return rig.core.authorities[rig.authority.name]


def test_law_6_a_policy_that_nobody_named_makes_nothing_looser() -> None:
    """Its officers may have vetoed it: all that the courier shows is that they signed it once."""
    rig = ruled_by(authority(rule(Phase.ENFORCE)))
    vetoed = replace(rig.authority.policy, version=9, phases=(rule(Phase.OBSERVE),))
    rig.order(orders.sealed_order(vetoed))
    rig.run(20_000)
    assert gate_of(rig).policy == vetoed
    assert rig.core.in_force.bites
    rig.restart().run(20_000)
    assert rig.core.in_force.bites


def test_law_6_a_host_joins_with_no_policy_that_nobody_named() -> None:
    one = authority(rule(Phase.ENFORCE))
    vetoed = replace(one.policy, version=9, phases=(rule(Phase.OBSERVE),))
    bent = [one.root, one.delegation(), orders.sealed_order(vetoed)]
    one.first_orders = lambda: bent  # type: ignore[method-assign]
    with pytest.raises(ForgedError, match=r"admission\.policy"):
        ruled_by(one)


def test_law_6_a_policy_that_waits_at_the_authority_waits_at_a_host_that_joins_too() -> None:
    one = authority(rule(Phase.WARN))
    one.policy = replace(one.policy, loosening_delay_ms=DAY_MS)
    waits = replace(one.policy, version=9, phases=(rule(Phase.OBSERVE),))
    first = one.first_orders
    one.first_orders = lambda: [*first(), orders.sealed_order(waits)]  # type: ignore[method-assign]
    rig = ruled_by(one)
    for told in ((), (waits,)):
        assert gate_of(rig).policy == one.policy
        assert gate_of(rig).waiting_policies == told, "on the link, once it is admitted"
        assert rig.core.in_force.phase is Phase.WARN, "nor does it freeze what may run"
        rig.order(orders.sealed_order(waits))


def test_law_6_a_resume_that_waits_at_the_authority_waits_at_a_host_that_joins_too() -> None:
    one = authority(rule(Phase.ENFORCE))
    one.policy = replace(one.policy, loosening_delay_ms=DAY_MS)
    pause = one.pause()
    first = one.first_orders
    one.first_orders = lambda: [*first(), pause, one.resume(pause.digest)]  # type: ignore[method-assign]
    rig = ruled_by(one)
    assert [held.digest for held in gate_of(rig).pauses] == [pause.digest]


def test_a_new_policy_freezes_nobody_before_the_next_answer_names_it() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE), age_ms=40_000))
    rig.network = cut
    rig.order(rig.authority.policy_order(phases=(rule(Phase.OBSERVE),)))
    assert rig.core.in_force.phase is Phase.OBSERVE, "the one before was named"
    rig.run(20_000)
    rig.restart().run(1_000)
    assert rig.core.in_force.phase is Phase.OBSERVE
    rig.run(20_000)
    assert rig.core.in_force.bites, "that one is too old now"
    assert not rig.core.in_force.why.startswith("policy 3 ")
    rig.network = at_once
    rig.run(10_000)
    assert rig.core.in_force.phase is Phase.OBSERVE
    assert rig.core.in_force.why.startswith("policy 3 ")


def test_a_stricter_policy_bites_before_anything_named_it() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE)))
    rig.network = cut
    rig.order(rig.authority.policy_order(phases=(rule(Phase.ENFORCE),)))
    assert rig.core.in_force.bites


def test_what_an_answer_named_while_it_waited_here_counts_once_it_is_in_force() -> None:
    """The authority counts the delay by its own clock."""
    one = authority(rule(Phase.ENFORCE))
    one.policy = replace(one.policy, loosening_delay_ms=60_000)
    rig = ruled_by(one)
    rig.order(one.policy_order(phases=(rule(Phase.OBSERVE),), loosening_delay_ms=60_000))
    rig.run(10_000)
    rig.network = cut
    assert rig.core.in_force.bites
    rig.run(60_000)
    assert rig.core.in_force.phase is Phase.OBSERVE
