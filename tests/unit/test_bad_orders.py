"""Every kind of order that is wrong in one way is refused, by gate and governor, with its code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_governor.orders.accepting import accept_order, found
from flopgate_governor.state import State, open_state
from flopgate_governor.store.database import Store
from flopgate_proto.codec import encode_order
from flopgate_proto.envelope import Envelope, cosign, seal
from flopgate_proto.errors import FlopgateError
from flopgate_proto.keys import SigningKey
from flopgate_proto.trust import ROLE_OF, SINGLE_ROLES
from flopgate_proto.values import Order
from tests.support import further_orders, orders
from tests.support.fixed import OFFICER_KEYS, PERMIT_KEY, STRANGER_KEY
from tests.support.gate_rig import GateRig, running
from tests.support.governor import LOG
from tests.support.governor_clock import Clock

ORDERS: tuple[Order, ...] = (
    orders.trust_root(version=2),
    orders.delegation(serial=2),
    orders.policy(version=2),
    orders.pause(),
    orders.resume(),
    orders.reconciliation(),
    orders.ruling(),
    *further_orders.ALL,
)
NAMES = [type(order).__name__ for order in ORDERS]


def quorum(order: Order) -> Sequence[SigningKey]:
    single = ROLE_OF[encode_order(order)[0]] in SINGLE_ROLES
    return OFFICER_KEYS[: 1 if single else 2]


def wrong_role(order: Order) -> Envelope:
    """Signed by keys that sign other things."""
    return seal(*encode_order(order), [PERMIT_KEY, STRANGER_KEY])


def one_short(order: Order) -> Envelope:
    """One officer too few, who signs twice, and a stranger."""
    short = quorum(order)[1:]
    if not short:
        return seal(*encode_order(order), [STRANGER_KEY])
    return cosign(cosign(seal(*encode_order(order), short), short[0]), STRANGER_KEY)


def other_authority(order: Order) -> Envelope:
    """For another governor, by the same officers."""
    return seal(*encode_order(replace(order, authority="other.example")), quorum(order))


def same_name(order: Order) -> Envelope:
    """For another governor of the same name, by the same officers."""
    return seal(*encode_order(replace(order, authority_id=bytes(32))), quorum(order))


def unknown_field(order: Order) -> Envelope:
    """With a field that this version does not know (number 101, varint 1)."""
    kind, payload = encode_order(order)
    return seal(kind, payload + b"\xa8\x06\x01", quorum(order))


def other_bytes(order: Order) -> Envelope:
    """Approved by one officer, then changed, then approved by the next."""
    signers = quorum(order)
    first = seal(*encode_order(order), signers)
    kind, payload = encode_order(replace(order, authority=order.authority + "x"))
    return Envelope(kind, payload, first.signatures)


def another_type(order: Order) -> Envelope:
    """The bytes under the payload type of another order that the same officers may sign."""
    kind, payload = encode_order(order)
    signed = seal(kind, payload, OFFICER_KEYS)
    other = next(one for one in ROLE_OF if one != kind)
    return replace(signed, payload_type=str(other))


BAD: dict[str, tuple[Callable[[Order], Envelope], str]] = {
    "wrong role": (wrong_role, "envelope.quorum"),
    "one short of quorum": (one_short, "envelope.quorum"),
    "for another governor": (other_authority, "order.authority"),
    "for another governor of the same name": (same_name, "order.other-authority"),
    "an unknown field": (unknown_field, "message.not-canonical"),
    "approved as other bytes": (other_bytes, "envelope.quorum"),
    "signed as another type": (another_type, "envelope.quorum"),
}


@pytest.fixture(scope="module")
def gate() -> GateRig:
    return running()


@pytest.fixture
def governor(tmp_path: Path) -> State:
    store = Store(tmp_path / "governor.sqlite")
    found(store, orders.TRUST_ROOT_ENVELOPE)
    state = open_state(store, PERMIT_KEY, LOG, Clock().machine())
    for order in (orders.policy(), orders.delegation()):
        accept_order(state, orders.sealed_order(order))
    return state


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("order", ORDERS, ids=NAMES)
def test_law_6_a_bad_order_is_refused_by_its_id(
    gate: GateRig, governor: State, order: Order, bad: str
) -> None:
    make, code = BAD[bad]
    envelope = make(order)
    before = governor.book
    with pytest.raises(FlopgateError) as at_governor:
        accept_order(governor, envelope)
    with pytest.raises(FlopgateError) as at_gate:
        gate.core.order(gate.authority.name, envelope, gate.now)
    assert (at_governor.value.code, at_gate.value.code) == (code, code)
    assert governor.book == before


VERSIONED: tuple[tuple[Order, Order], ...] = (
    (orders.trust_root(version=3), orders.trust_root(version=2)),
    (orders.delegation(serial=9), orders.delegation(serial=8)),
    (orders.policy(version=9, drift_ppm=501), orders.policy(version=8)),
    (further_orders.seats(version=3), further_orders.seats(version=2)),
)


@pytest.mark.parametrize(("newer", "older"), VERSIONED, ids=lambda order: type(order).__name__)
def test_law_6_an_older_version_is_refused_by_its_id(
    governor: State, newer: Order, older: Order
) -> None:
    gate = running()
    accept_order(governor, orders.sealed_order(newer))
    gate.core.order(gate.authority.name, orders.sealed_order(newer), gate.now)
    for refuse in (
        lambda: accept_order(governor, orders.sealed_order(older)),
        lambda: gate.core.order(gate.authority.name, orders.sealed_order(older), gate.now),
    ):
        with pytest.raises(FlopgateError) as refused:
            refuse()
        assert refused.value.code.endswith(("version", "serial"))


@pytest.mark.parametrize("order", [orders.pause(), orders.policy(version=2)])
def test_law_6_a_replay_changes_nothing(governor: State, order: Order) -> None:
    envelope = seal(*encode_order(order), quorum(order))
    first = accept_order(governor, envelope)
    book = governor.book
    again = accept_order(governor, cosign(envelope, OFFICER_KEYS[2]))
    assert (first.new, again.new) == (True, False)
    assert governor.book == book


def test_law_6_a_resume_that_is_replayed_lifts_no_newer_pause(governor: State) -> None:
    pause, resume = orders.sealed_order(orders.pause(), OFFICER_KEYS[:1]), orders.resume()
    accept_order(governor, pause)
    accept_order(governor, orders.sealed_order(resume))
    newer = orders.pause(nonce=bytes([3] * 16))
    accept_order(governor, orders.sealed_order(newer, OFFICER_KEYS[:1]))
    accept_order(governor, pause)
    accept_order(governor, orders.sealed_order(resume))
    assert [held.pause for held in governor.book.orders.pauses] == [newer]
