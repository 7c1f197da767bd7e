"""Law 6 at the gate: it counts the delay of what loosens by its own running time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flopgate_agent.gate.actions import Tell
from flopgate_agent.gate.lanes.allowance import Allowed, Denied
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ForgedError, HistoryError
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import LaneState, Scope, ScopeKind
from tests.support import further_orders, orders
from tests.support.fixed import OFFICER_KEYS, WORKLOAD
from tests.support.gate_authority import QUICK, GateAuthority
from tests.support.gate_rig import GateRig, running

DELAY_MS = 60_000
EVERYTHING = Scope(ScopeKind.EVERYTHING)
HOUR_MS = 3_600_000


def slow() -> GateRig:
    """A host that runs under a policy with a delay."""
    authority = GateAuthority()
    authority.policy = replace(authority.policy, loosening_delay_ms=DELAY_MS)
    return running(authority)


def denied(rig: GateRig) -> str:
    permission = rig.core.permissions[WORKLOAD]
    return permission.reason if isinstance(permission, Denied) else ""


def veto(order: Envelope) -> Envelope:
    return orders.sealed_order(further_orders.veto(order_digest=order.digest), OFFICER_KEYS[2:])


def looser(rig: GateRig, **fields: Any) -> Envelope:
    """The next policy, not in force at its authority yet."""
    held = rig.authority.policy
    values = {"authority": rig.authority.name, "version": held.version + 1} | QUICK
    values |= {"loosening_delay_ms": DELAY_MS} | fields
    return orders.sealed_order(orders.policy(**values))


def test_law_6_a_resume_waits_and_then_the_host_goes_on_by_itself() -> None:
    rig = slow()
    pause = rig.authority.pause()
    rig.order(pause)
    rig.run_until(LaneState.HALTED)
    rig.order(rig.authority.resume(pause.digest))
    rig.run(DELAY_MS - 2_000)
    assert denied(rig) == "pause.latched"
    rig.run(4_000)
    assert not denied(rig)


def test_law_6_a_veto_ends_a_resume_that_waits() -> None:
    rig = slow()
    pause = rig.authority.pause()
    rig.order(pause)
    resume = rig.authority.resume(pause.digest)
    rig.order(resume)
    rig.order(veto(resume))
    rig.run(2 * DELAY_MS)
    assert denied(rig) == "pause.latched"


def test_law_6_a_vetoed_order_is_refused_whoever_brings_it() -> None:
    rig = slow()
    pause = rig.authority.pause()
    rig.order(pause)
    resume = rig.authority.resume(pause.digest)
    rig.order(veto(resume))
    with pytest.raises(HistoryError, match=r"order\.vetoed"):
        rig.core.order(rig.authority.name, resume, rig.now)


def test_law_6_a_restart_neither_shortens_nor_forgets_the_delay() -> None:
    rig = slow()
    pause = rig.authority.pause()
    rig.order(pause)
    rig.order(rig.authority.resume(pause.digest))
    rig.run(20_000)
    rig.restart().run(20_000)
    assert denied(rig) == "pause.latched"
    rig.run(DELAY_MS)
    assert not denied(rig)


def test_law_6_a_looser_policy_waits_and_permits_under_it_are_cut() -> None:
    """The authority counts the delay by its own clock: its permits must not be thrown away."""
    rig = slow()
    rig.order(looser(rig, lifetime_ms=40_000))
    rig.authority.terms = {
        "lifetime_ms": 40_000,
        "wind_down_ms": QUICK["lifetime_ms"] + 1,
        "renew_after_ms": QUICK["lifetime_ms"] + 1,
    }
    rig.run(20_000)
    permission = rig.core.permissions[WORKLOAD]
    assert isinstance(permission, Allowed)
    assert permission.until_ms - rig.core.elapsed_ms <= QUICK["lifetime_ms"]
    permit = rig.core.authorities[rig.authority.name].permit
    assert permit is not None
    assert permit.wind_down_ms == permit.renew_after_ms == permit.lifetime_ms
    rig.authority.terms = {"lifetime_ms": 40_000}
    rig.run(DELAY_MS)
    permission = rig.core.permissions[WORKLOAD]
    assert isinstance(permission, Allowed)
    assert permission.until_ms - rig.core.elapsed_ms > QUICK["lifetime_ms"]


def test_law_6_no_host_is_exempt_by_a_policy_that_waits() -> None:
    authority = GateAuthority()
    authority.policy = replace(
        authority.policy, loosening_delay_ms=DELAY_MS, threshold_tflop_per_s=1
    )
    rig = running(authority)
    rig.order(looser(rig, threshold_tflop_per_s=10**9))
    held = rig.core.authorities[rig.authority.name]
    assert [one.threshold_tflop_per_s for one in held.waiting_policies] == [10**9]
    rig.authority.terms = {"exempt": True}
    rig.run(QUICK["lifetime_ms"] + 5_000)
    assert {error.code for error in rig.refused} == {"permit.waits"}
    assert denied(rig) in {"permit.expired", "permit.none"}


def test_law_6_beyond_every_policy_that_officers_signed_nothing_is_taken() -> None:
    rig = slow()
    rig.order(looser(rig, lifetime_ms=40_000))
    rig.authority.terms = {"lifetime_ms": 40_001}
    rig.run(QUICK["lifetime_ms"] + 5_000)
    assert denied(rig) in {"permit.expired", "permit.none"}


def test_law_6_a_stricter_policy_does_not_wait() -> None:
    rig = slow()
    rig.order(looser(rig, headroom_max_tflop=1_000, renew_after_ms=2_000))
    authority = rig.core.authorities[rig.authority.name]
    assert authority.orders is not None
    assert not authority.orders.waiting
    assert authority.policy is not None
    assert authority.policy.headroom_max_tflop == 1_000


def test_law_6_a_new_host_takes_what_is_in_force_at_once() -> None:
    """There is nothing to loosen before the admission."""
    authority = GateAuthority()
    authority.policy = replace(authority.policy, loosening_delay_ms=DELAY_MS)
    first = authority.first_orders
    root = orders.trust_root(authority=authority.name, version=2)
    more = replace(
        root,
        roles=tuple(replace(r, threshold=1) if r.name == "resume" else r for r in root.roles),
    )
    order = orders.sealed_order(more)
    authority.first_orders = lambda: [*first(), order]  # type: ignore[method-assign]
    authority.trust_root_digest = order.digest
    authority.later_trust_roots = (order.digest,)
    rig = running(authority)
    held = rig.core.authorities[authority.name]
    assert held.orders is not None
    assert not held.orders.waiting
    assert held.orders.trust.root.version == 2
    rig.restart().run(1_000)
    held = rig.core.authorities[authority.name]
    assert held.orders is not None
    assert not held.orders.waiting
    assert held.orders.trust.root.version == 2


def test_law_6_a_confirmed_pause_outlasts_its_lapse() -> None:
    rig = running()
    pause = rig.authority.pause(scope=EVERYTHING, lapse_ms=30_000)
    rig.order(pause)
    rig.order(orders.sealed_order(further_orders.confirmation(pauses=(pause.digest,))))
    rig.run(60_000)
    assert denied(rig) == "pause.latched"


def test_law_6_a_revoked_key_pauses_nobody_and_its_pauses_go_without_delay() -> None:
    rig = slow()
    suspect: SigningKey = OFFICER_KEYS[0]
    pause = rig.authority.pause(scope=EVERYTHING, lapse_ms=HOUR_MS)
    rig.order(pause)
    revocation = further_orders.revocation(key_digest=bytes.fromhex(suspect.key_id))
    rig.order(orders.sealed_order(revocation, OFFICER_KEYS[1:]))
    with pytest.raises(Exception, match=r"envelope\.quorum"):
        rig.core.order(rig.authority.name, rig.authority.pause(), rig.now)
    resume = orders.resume(lifts=(pause.digest,), nonce=bytes([7] * 16))
    rig.order(orders.sealed_order(resume, OFFICER_KEYS[1:]))
    rig.run(10_000)
    assert not denied(rig)


def test_law_6_a_confirmed_pause_is_nobodys_alone() -> None:
    rig = slow()
    pause = rig.authority.pause()
    rig.order(pause)
    confirmation = further_orders.confirmation(pauses=(pause.digest,))
    rig.order(orders.sealed_order(confirmation, OFFICER_KEYS[1:]))
    revocation = further_orders.revocation(key_digest=bytes.fromhex(OFFICER_KEYS[0].key_id))
    rig.order(orders.sealed_order(revocation, OFFICER_KEYS[1:]))
    resume = orders.resume(lifts=(pause.digest,), nonce=bytes([7] * 16))
    rig.order(orders.sealed_order(resume, OFFICER_KEYS[1:]))
    rig.run(10_000)
    assert denied(rig) == "pause.latched"


def test_what_waits_is_told_as_such_and_again_when_it_is_in_force() -> None:
    rig = slow()
    pause = rig.authority.pause()
    rig.order(pause)
    actions = rig.core.order(rig.authority.name, rig.authority.resume(pause.digest), rig.now)
    assert "order.waits.resume" in [one.event for one in actions if isinstance(one, Tell)]


def test_what_only_a_waiting_root_lets_hold_comes_into_force_with_it() -> None:
    """At the authority the new root may rule already: its clock is another."""
    rig = slow()
    base = orders.trust_root(authority=rig.authority.name, version=2)
    newcomer = SigningKey.from_scalar(4711)
    keys = (*base.keys, replace(base.keys[0], name="newcomer", spki=newcomer.spki))
    roles = tuple(replace(role, keys=(*role.keys, len(base.keys))) for role in base.roles)
    rig.order(orders.sealed_order(replace(base, keys=keys, roles=roles)))
    signers = [OFFICER_KEYS[0], newcomer]
    held = rig.authority.policy
    stricter = replace(held, version=held.version + 1, renew_after_ms=2_000)
    rig.order(orders.sealed_order(stricter, signers))
    authority = rig.core.authorities[rig.authority.name]
    assert authority.policy == held
    rig.restart().run(DELAY_MS + 2_000)
    assert rig.core.authorities[rig.authority.name].policy == stricter
    alone = orders.sealed_order(replace(stricter, version=9), [newcomer])
    with pytest.raises(ForgedError):
        rig.core.order(rig.authority.name, alone, rig.now)


def test_it_is_so_where_several_roots_wait_that_follow_each_other() -> None:
    rig = slow()
    second = orders.trust_root(authority=rig.authority.name, version=2)
    newcomers = [SigningKey.from_scalar(4711), SigningKey.from_scalar(4712)]
    for number, newcomer in enumerate(newcomers):
        added = replace(second.keys[0], name=f"newcomer-{number}", spki=newcomer.spki)
        keys = (*second.keys, added)
        roles = tuple(replace(role, keys=(*role.keys, len(keys) - 1)) for role in second.roles)
        second = replace(second, keys=keys, roles=roles, version=2 + number)
        # The third root holds by the second one alone.
        signers = [OFFICER_KEYS[0], newcomers[0] if number else OFFICER_KEYS[1]]
        rig.order(orders.sealed_order(second, signers))
    held = rig.authority.policy
    stricter = replace(held, version=held.version + 1, renew_after_ms=2_000)
    rig.order(orders.sealed_order(stricter, newcomers))
    assert rig.core.authorities[rig.authority.name].policy == held
    rig.restart().run(DELAY_MS + 2_000)
    assert rig.core.authorities[rig.authority.name].policy == stricter


def test_law_6_what_restrains_is_handed_back_and_nothing_that_is_over() -> None:
    """An authority that was put back from a backup may lack it."""
    rig = slow()
    lifted, stands = rig.authority.pause(), rig.authority.pause()
    brief = rig.authority.pause(scope=EVERYTHING, lapse_ms=10_000)
    ended = veto(looser(rig, lifetime_ms=40_000))
    resume = rig.authority.resume(lifted.digest)
    for order in (lifted, stands, brief, ended, resume):
        rig.order(order)
    rig.run(DELAY_MS + 5_000)

    def held() -> list[Envelope]:
        return rig.core.authorities[rig.authority.name].held_orders(rig.core.running_ms)

    assert held() == [stands, ended]
    rig.restart().run(1_000)
    assert held() == [stands, ended]
