"""What officers of one authority ordered, as a gate holds it: spans, revocations, what is named."""

from __future__ import annotations

from typing import Any

import pytest

from flopgate_agent.gate.authorities.officers import OfficerOrders
from flopgate_proto.codec import PayloadType
from flopgate_proto.envelope import Envelope, seal
from flopgate_proto.errors import PeerError
from flopgate_proto.keys import SigningKey
from flopgate_proto.values import Order
from tests.support import further_orders, orders
from tests.support.fixed import AUTHORITY, OFFICER_KEYS

ONE, TWO = (SigningKey.from_scalar(0x8101 + number) for number in range(2))
DELAY_MS = 1_000


def held(*, admitted: bool = True) -> OfficerOrders:
    """With the first trust root alone."""
    officers = OfficerOrders(AUTHORITY, admitted=admitted)
    assert officers.pin_if_first(orders.TRUST_ROOT_ENVELOPE, orders.TRUST_ROOT_DIGEST)
    return officers


def take(officers: OfficerOrders, order: Order, running_ms: int = 0) -> bytes:
    """Its digest, once it is taken."""
    envelope = orders.sealed_order(order)
    officers.accept(envelope, running_ms)
    return envelope.digest


def delegate(officers: OfficerOrders, key: SigningKey, serial: int, **fields: Any) -> None:
    take(officers, orders.delegation(serial=serial, permit_spki=key.spki, **fields))


def root_by(*keys: SigningKey) -> Envelope:
    """Something that online keys signed."""
    return seal(PayloadType.BATCH_ROOT, b"root", keys)


def refusal(officers: OfficerOrders, running_ms: int, *keys: SigningKey) -> str:
    """Why none of the keys that signed counts."""
    try:
        in_force = officers.check_delegated(root_by(*keys), running_ms)
    except PeerError as error:
        return error.code
    return "" if in_force.keys() & {key.key_id for key in keys} else "unknown"


# ---------------------------------------------------------------------- online keys


def test_a_key_signs_until_its_span_is_over_and_then_it_is_said() -> None:
    officers = held()
    take(officers, orders.policy())
    delegate(officers, ONE, 1, span_ms=10)
    assert officers.keys_in_force(9).keys() == {ONE.key_id}
    assert (refusal(officers, 9, ONE), officers.signs_no_more(9)) == ("", "")
    assert not officers.keys_in_force(10)
    assert refusal(officers, 10, ONE) == officers.signs_no_more(10) == "delegation.expired"
    assert refusal(officers, 10, TWO) == "unknown"


def test_the_last_span_is_the_one_that_counts() -> None:
    officers = held()
    take(officers, orders.policy())
    delegate(officers, ONE, 1, span_ms=10)
    delegate(officers, TWO, 2, span_ms=20, least_policy_version=2)
    assert officers.signs_no_more(19) == ""
    assert officers.signs_no_more(20) == "delegation.expired"
    # Of two that signed, one has run out and the other waits for its policy.
    assert refusal(officers, 15, ONE, TWO) == "delegation.policy"
    assert refusal(officers, 20, ONE, TWO) == "delegation.expired"


def test_a_key_counts_from_its_least_policy_on_though_that_waits() -> None:
    officers = held()
    take(officers, orders.policy(loosening_delay_ms=DELAY_MS))
    delegate(officers, ONE, 1, least_policy_version=2)
    assert refusal(officers, 0, ONE) == "delegation.policy"
    take(officers, orders.policy(version=2, loosening_delay_ms=DELAY_MS, lifetime_ms=610_000))
    assert officers.policy is not None
    assert (officers.policy.version, officers.known_version) == (1, 2)
    assert refusal(officers, 0, ONE) == ""


def test_an_officers_revoked_key_ends_no_online_key() -> None:
    officers = held()
    take(officers, further_orders.revocation())
    assert officers.signs_no_more(0) == ""
    assert not officers.is_revoked(frozenset({OFFICER_KEYS[-1].key_id}))
    delegate(officers, ONE, 1)
    take(officers, further_orders.revocation(key_digest=bytes.fromhex(ONE.key_id)))
    assert officers.signs_no_more(0) == refusal(officers, 0, ONE) == "delegation.revoked"
    assert officers.is_revoked(frozenset({ONE.key_id}))
    assert not officers.is_revoked(frozenset({ONE.key_id, TWO.key_id}))


# ---------------------------------------------------------------------- orders


def test_before_the_admission_only_roots_that_the_token_names_are_taken() -> None:
    root = orders.sealed_order(orders.trust_root(version=2))
    officers = held(admitted=False)
    with pytest.raises(PeerError) as caught:
        officers.accept(root, 0)
    assert caught.value.code == "admission.trust-root"
    assert officers.accept(orders.TRUST_ROOT_ENVELOPE, 0) is None, "the first one is known"
    officers.named_roots = frozenset({root.digest})
    assert officers.accept(root, 0) is not None
    assert held().accept(root, 0) is not None


def test_before_the_admission_no_policy_waits() -> None:
    looser = orders.policy(version=2, loosening_delay_ms=DELAY_MS, lifetime_ms=610_000)
    for admitted in (False, True):
        officers = held(admitted=admitted)
        take(officers, orders.policy(loosening_delay_ms=DELAY_MS))
        taken = officers.accept(orders.sealed_order(looser), 5)
        assert (taken is not None) is admitted
        assert officers.known_version == (2 if admitted else 1)


def test_an_approval_that_an_officer_vetoed_holds_no_more() -> None:
    officers = held()
    approval = orders.sealed_order(further_orders.approval())
    assert officers.check_approval(approval)[1] == approval.digest
    take(officers, further_orders.veto(order_digest=approval.digest))
    with pytest.raises(PeerError) as caught:
        officers.check_approval(approval)
    assert caught.value.code == "order.vetoed"


def test_a_pause_that_came_is_unseen_no_more() -> None:
    officers = held()
    pause = orders.sealed_order(orders.pause(), OFFICER_KEYS[:1])
    officers.unseen_pauses = frozenset({pause.digest, bytes(32)})
    officers.accept(pause, 0)
    assert officers.unseen_pauses == {bytes(32)}


def test_over_a_start_a_policy_that_was_named_is_known_though_a_newer_one_came() -> None:
    named = orders.sealed_order(
        orders.policy(version=2, loosening_delay_ms=DELAY_MS, lifetime_ms=610_000)
    )
    officers = OfficerOrders(AUTHORITY, admitted=True)
    officers.note_policy(named.digest)
    officers.restore(orders.TRUST_ROOT_ENVELOPE, 0)
    officers.restore(orders.sealed_order(orders.policy(loosening_delay_ms=DELAY_MS)), 0)
    officers.restore(named, 7)
    assert officers.named_digest == b""
    stricter = orders.policy(version=3, loosening_delay_ms=DELAY_MS)
    officers.restore(orders.sealed_order(stricter), 2 * DELAY_MS)
    assert officers.policy is not None
    assert officers.policy.version == 3
    assert officers.named_digest == named.digest
    assert officers.named_policy is not None
    assert officers.named_policy.seen_running_ms == 7
