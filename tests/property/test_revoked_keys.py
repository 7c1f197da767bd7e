"""Delegations and revocations of online keys, in every order: which keys sign then."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.gate.authorities.authority import Authority
from flopgate_agent.gate.memory import StoredAuthority
from flopgate_governor.core.orders import GovernorBook, Mandate
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import HistoryError
from flopgate_proto.keys import SigningKey
from tests.support import orders
from tests.support.fixed import AUTHORITY
from tests.support.further_orders import revocation

KEYS: Final = [SigningKey.from_scalar(0x3100 + number) for number in range(3)]
SPAN_MS: Final = 10_000
ROOT: Final = orders.sealed_order(orders.trust_root())
POLICY: Final = orders.sealed_order(orders.policy())

ACTS: Final = st.lists(
    st.tuples(st.sampled_from(["delegate", "revoke"]), st.sampled_from(KEYS), st.booleans()),
    max_size=8,
)
"""What officers do, to which key; whether the gate hears of it only after all others."""


def order_of(act: str, key: SigningKey, serial: int) -> Envelope:
    if act == "revoke":
        return orders.sealed_order(revocation(key_digest=bytes.fromhex(key.key_id)))
    value = orders.delegation(serial=serial, permit_spki=key.spki, span_ms=SPAN_MS)
    return orders.sealed_order(value)


@given(ACTS)
def test_law_7_both_sides_let_sign_what_was_delegated_and_never_revoked(
    acts: list[tuple[str, SigningKey, bool]],
) -> None:
    book = GovernorBook.first(ROOT).accept(POLICY, 0)
    gate = Authority(StoredAuthority(name=AUTHORITY))
    gate.pin_if_first(ROOT, ROOT.digest)
    gate.accept(POLICY, 0)
    delegated, revoked = set[str](), set[str]()
    late: list[Envelope] = []
    for serial, (act, key, waits) in enumerate(acts, start=1):
        order = order_of(act, key, serial)
        if act == "delegate" and key.key_id in revoked:
            with pytest.raises(HistoryError) as refused:
                book.accept(order, serial)
            assert refused.value.code == "delegation.revoked"
            continue
        (revoked if act == "revoke" else delegated).add(key.key_id)
        book = book.accept(order, serial)
        if waits and act == "revoke":
            late.append(order)
        else:
            gate.accept(order, serial)
    for order in late:
        gate.accept(order, len(acts))
    for key in KEYS:
        standing = book.mandate(key.key_id)
        assert (standing is Mandate.REVOKED) is (key.key_id in revoked)
        assert (standing is Mandate.GIVEN) is (key.key_id in delegated - revoked)
    assert set(gate.keys_in_force(len(acts))) == delegated - revoked
    with suppress(HistoryError):
        for key in KEYS:
            gate.accept(order_of("delegate", key, len(acts) + 1), len(acts))
    assert revoked.isdisjoint(gate.keys_in_force(len(acts)))
    expired = gate.signs_no_more(len(acts) + SPAN_MS + 1)
    assert expired in {"delegation.expired", "delegation.revoked", ""}
    assert (expired == "delegation.revoked") <= delegated.issubset(revoked)
