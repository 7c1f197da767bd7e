"""Law 6, in the one fold of orders that gates and governors share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ForgedError, HistoryError, PeerError
from flopgate_proto.keys import SigningKey
from flopgate_proto.orders import book as order_book
from flopgate_proto.orders.book import DELEGATIONS_KEPT, GATE, GOVERNOR, OrderBook, Side
from flopgate_proto.values import Key, Policy, Role, Scope, ScopeKind
from tests.support import further_orders, orders
from tests.support.fixed import OFFICER_KEYS

DELAY_MS = 1_000
SIDES = (GATE, GOVERNOR)
EVERYTHING = Scope(ScopeKind.EVERYTHING)


def opened(side: Side, *, delay_ms: int = DELAY_MS) -> OrderBook:
    """A book with a policy in force since 0."""
    book = OrderBook(side=side, trust=orders.trust())
    policy = orders.policy(loosening_delay_ms=delay_ms)
    return book.accept(orders.sealed_order(policy), 0).book


def looser(book: OrderBook) -> Policy:
    assert book.policy is not None
    return replace(book.policy, version=book.policy_version + 1, budgets=())


@pytest.mark.parametrize("side", SIDES)
def test_law_6_a_lapse_holds_until_it_is_confirmed_whoever_signed_it(side: Side) -> None:
    pause = orders.sealed_order(orders.pause(scope=EVERYTHING, lapse_ms=10), OFFICER_KEYS)
    book = opened(side).accept(pause, 5).book
    assert [held.lapse_ms for held in book.pauses] == [10]
    confirmed = orders.sealed_order(further_orders.confirmation(pauses=(pause.digest,)))
    assert [held.lapse_ms for held in book.accept(confirmed, 6).book.pauses] == [None]


@pytest.mark.parametrize("side", SIDES)
def test_law_6_what_was_confirmed_stays_so_when_another_pause_is(side: Side) -> None:
    book = opened(side)
    for number in (1, 2):
        wide = orders.pause(scope=EVERYTHING, lapse_ms=10, nonce=bytes([number]) * 16)
        pause = orders.sealed_order(wide, OFFICER_KEYS)
        confirmed = orders.sealed_order(further_orders.confirmation(pauses=(pause.digest,)))
        book = book.accept(pause, 5).book.accept(confirmed, 6).book
    assert [held.lapse_ms for held in book.pauses] == [None, None]


@pytest.mark.parametrize("side", SIDES)
def test_law_6_an_older_delegation_is_not_the_newest_again(side: Side) -> None:
    """Whoever keeps one back would prolong the span of its key by bringing it later."""
    newer, older = (orders.sealed_order(orders.delegation(serial=serial)) for serial in (4, 3))
    book = opened(side).accept(newer, 1).book
    for late in (older, orders.sealed_order(orders.delegation(serial=4, span_ms=1))):
        with pytest.raises(HistoryError, match=r"order\.version"):
            book.accept(late, 2)


@pytest.mark.parametrize("side", SIDES)
def test_law_6_no_more_than_so_many_orders_wait(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_book, "ORDERS_WAITING_MAX", 2)
    book = opened(side)
    for version in (2, 3):
        waits = replace(looser(book), version=version)
        book = book.accept(orders.sealed_order(waits), 1).book
    with pytest.raises(HistoryError, match=r"order\.waiting"):
        book.accept(orders.sealed_order(replace(looser(book), version=4)), 1)
    # What tightens does not wait, and is taken.
    assert book.accept(orders.sealed_order(orders.pause()), 1).book.pauses


@pytest.mark.parametrize("side", SIDES)
def test_law_6_a_veto_is_in_time_until_somebody_acted_on_what_is_due(side: Side) -> None:
    book = opened(side)
    held = orders.sealed_order(looser(book))
    book = book.accept(held, 0).book
    veto = further_orders.veto(order_digest=held.digest)
    book = book.accept(orders.sealed_order(veto, OFFICER_KEYS[2:]), DELAY_MS + 5).book
    assert (book.policy_version, book.waiting) == (1, ())
    assert [one.code for one in book.fallen] == ["order.vetoed"]


@pytest.mark.parametrize("side", SIDES)
def test_law_6_what_loosens_comes_into_force_when_its_time_has_come(side: Side) -> None:
    book = opened(side)
    order = orders.sealed_order(looser(book))
    accepted = book.accept(order, 7)
    assert accepted.came == ()
    assert accepted.book.due_ms == 7 + DELAY_MS
    early, came = accepted.book.ripe(6 + DELAY_MS)
    assert (early.policy_version, came) == (1, ())
    late, came = accepted.book.ripe(7 + DELAY_MS)
    assert (late.policy_version, late.policy_since_ms) == (2, 7)
    assert [one.digest for one in came] == [order.digest]


@pytest.mark.parametrize("side", SIDES)
def test_law_6_what_falls_says_why(side: Side) -> None:
    book = opened(side)
    held = orders.sealed_order(looser(book))
    book = book.accept(held, 0).book
    stricter = orders.policy(version=2, loosening_delay_ms=DELAY_MS, lifetime_ms=590_000)
    book = book.accept(orders.sealed_order(stricter), 1).book
    book, came = book.ripe(DELAY_MS)
    assert came == ()
    assert [(one.digest, one.code) for one in book.fallen] == [(held.digest, "order.version")]


@pytest.mark.parametrize("side", SIDES)
def test_law_6_a_vetoed_order_falls_and_never_comes_back(side: Side) -> None:
    book = opened(side)
    held = orders.sealed_order(looser(book))
    book = book.accept(held, 0).book
    veto = further_orders.veto(order_digest=held.digest)
    book = book.accept(orders.sealed_order(veto, OFFICER_KEYS[2:]), 1).book
    assert not book.waiting
    assert [one.code for one in book.fallen] == ["order.vetoed"]
    with pytest.raises(HistoryError, match=r"order\.vetoed"):
        book.accept(held, 2)


def test_law_6_a_gate_takes_what_only_a_root_that_waits_lets_hold() -> None:
    """Its authority counts the delay by its own clock; a governor rules by its root alone."""
    newcomer = SigningKey.from_scalar(4711)
    root = orders.trust_root(version=2)
    more = replace(
        root,
        keys=(*root.keys, Key(name="newcomer", spki=newcomer.spki)),
        roles=tuple(
            replace(role, keys=(*role.keys, len(root.keys))) if role.name == "pause" else role
            for role in root.roles
        ),
    )
    pause = orders.sealed_order(orders.pause(), [newcomer])
    gate, governor = (
        opened(side).accept(orders.sealed_order(more), 0).book for side in (GATE, GOVERNOR)
    )
    with pytest.raises(ForgedError):
        governor.accept(pause, 1)
    gate = gate.accept(pause, 1).book
    assert not gate.pauses
    gate, came = gate.ripe(DELAY_MS)
    assert [type(one.order).__name__ for one in came] == ["TrustRoot", "Pause"]
    assert [held.digest for held in gate.pauses] == [pause.digest]


def test_law_6_a_fresh_gate_takes_what_loosens_as_seen_one_delay_ago() -> None:
    book = opened(GATE)
    accepted = book.accept(orders.sealed_order(looser(book)), 5_000, fresh=True)
    assert accepted.book.policy_version == 2
    assert accepted.since_ms == accepted.book.policy_since_ms == 5_000 - DELAY_MS


def test_delegated_keys_are_bounded_and_each_is_there_once() -> None:
    book = opened(GATE)
    keys = [SigningKey.from_scalar(1_000 + number) for number in range(DELEGATIONS_KEPT + 4)]
    for serial, key in enumerate(keys, start=1):
        order = orders.delegation(serial=serial, permit_spki=key.spki)
        book = book.accept(orders.sealed_order(order), serial).book
    again = orders.delegation(serial=99, permit_spki=keys[-1].spki)
    book = book.accept(orders.sealed_order(again), 99).book
    serials = [one.delegation.serial for one in book.delegated]
    assert len(serials) == DELEGATIONS_KEPT
    assert serials == sorted(serials)
    assert serials[-1] == 99


def test_a_role_that_no_longer_stands_signs_nothing_that_waited() -> None:
    book = opened(GOVERNOR)
    held = orders.sealed_order(looser(book), OFFICER_KEYS[:2])
    book = book.accept(held, 0).book
    root = orders.trust_root(version=2)
    fewer = tuple(
        Role(name=role.name, threshold=role.threshold, keys=(0, 2))
        if role.name == "policy"
        else role
        for role in root.roles
    )
    book = book.accept(orders.sealed_order(replace(root, roles=fewer)), 1).book
    book, _ = book.ripe(2 * DELAY_MS)
    assert [one.code for one in book.fallen] == ["envelope.quorum"]


def _some(number: int) -> Envelope:
    """One of a handful of orders, some of which loosen, lift or end others of them."""
    pause = orders.sealed_order(orders.pause(), OFFICER_KEYS[:1])
    wide = orders.sealed_order(orders.pause(scope=EVERYTHING, lapse_ms=50), OFFICER_KEYS)
    resume = orders.sealed_order(orders.resume(lifts=(pause.digest,)))
    revoked = further_orders.revocation(key_digest=bytes.fromhex(OFFICER_KEYS[0].key_id))
    return (
        pause,
        wide,
        resume,
        orders.sealed_order(orders.resume(lifts=(wide.digest,), nonce=bytes(16))),
        orders.sealed_order(further_orders.confirmation(pauses=(wide.digest,))),
        orders.sealed_order(further_orders.veto(order_digest=resume.digest), OFFICER_KEYS[2:]),
        orders.sealed_order(orders.policy(version=2, budgets=(), loosening_delay_ms=DELAY_MS)),
        orders.sealed_order(orders.policy(version=3, loosening_delay_ms=DELAY_MS)),
        orders.sealed_order(orders.delegation(serial=2)),
        orders.sealed_order(revoked, OFFICER_KEYS[1:]),
    )[number]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, DELAY_MS)), max_size=12))
def test_law_6_gate_and_governor_hold_the_same_in_force(steps: list[tuple[int, int]]) -> None:
    books = {side: opened(side) for side in SIDES}
    taken: set[int] = set()
    now_ms = 0
    for number, passed_ms in steps:
        now_ms += passed_ms
        if number in taken:
            continue
        refused = set()
        for side in SIDES:
            try:
                books[side] = books[side].accept(_some(number), now_ms).book
            except PeerError as error:
                refused.add(error.code)
            else:
                taken.add(number)
        assert len(refused) < 2
        assert not refused or number not in taken
    for side in SIDES:
        books[side], _ = books[side].ripe(now_ms + 2 * DELAY_MS)
        assert not books[side].lifted & {held.digest for held in books[side].pauses}
    gate, governor = books[GATE], books[GOVERNOR]
    assert replace(gate, side=GOVERNOR, trust=governor.trust) == governor
    assert gate.trust.revoked == governor.trust.revoked


def vetoing(number: int, officer: SigningKey = OFFICER_KEYS[0]) -> Envelope:
    """Of an order that nobody knows."""
    digest = number.to_bytes(32, "big")
    return orders.sealed_order(further_orders.veto(order_digest=digest), [officer])


def pausing(number: int, officers: Sequence[SigningKey] = OFFICER_KEYS[:1]) -> Envelope:
    nonce = number.to_bytes(16, "big")
    return orders.sealed_order(orders.pause(nonce=nonce), officers)


@pytest.mark.parametrize("side", SIDES)
def test_no_officer_fills_the_book_with_vetoes_of_what_nobody_knows(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_book, "VETOES_OF_ONE_MAX", 3)
    book = opened(side)
    for number in range(3):
        book = book.accept(vetoing(number), 1).book
    with pytest.raises(HistoryError, match=r"order\.too-many"):
        book.accept(vetoing(3), 1)
    with pytest.raises(HistoryError, match=r"order\.too-many"):
        book.accept(orders.sealed_order(further_orders.veto(nonce=bytes(16)), OFFICER_KEYS[:1]), 1)
    other = book.accept(vetoing(4, OFFICER_KEYS[1]), 1).book
    assert len(other.vetoed) == 4
    # What waits is no such thing: his own veto of it is in time whatever he signed before.
    order = orders.sealed_order(looser(book))
    waiting = book.accept(order, 1).book
    ends = further_orders.veto(order_digest=order.digest)
    ended = waiting.accept(orders.sealed_order(ends, OFFICER_KEYS[:1]), 2).book
    assert not ended.waiting
    with pytest.raises(HistoryError, match=r"order\.vetoed"):
        ended.accept(order, 3)


@pytest.mark.parametrize("side", SIDES)
def test_no_officer_fills_the_book_with_pauses_and_a_quorum_pauses_on(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_book, "PAUSES_OF_ONE_MAX", 3)
    book = opened(side, delay_ms=0)
    made = [pausing(number) for number in range(3)]
    for envelope in made:
        book = book.accept(envelope, 1).book
    assert book.accept(made[0], 1).book.pauses == book.pauses, "it is known"
    with pytest.raises(HistoryError, match=r"order\.too-many"):
        book.accept(pausing(3), 1)
    assert len(book.accept(pausing(3, OFFICER_KEYS[1:2]), 1).book.pauses) == 4
    assert len(book.accept(pausing(3, OFFICER_KEYS[:2]), 1).book.pauses) == 4
    lifted = orders.sealed_order(orders.resume(lifts=(made[0].digest,)))
    free = book.accept(lifted, 2).book
    assert len(free.accept(pausing(3), 3).book.pauses) == 3


def lapsing(number: int, lapse_ms: int | None) -> Envelope:
    pause = orders.pause(nonce=number.to_bytes(16, "big"), lapse_ms=lapse_ms)
    return orders.sealed_order(pause, OFFICER_KEYS[:1])


@pytest.mark.parametrize("side", SIDES)
def test_law_6_a_pause_that_lapsed_gives_way_to_a_live_one_and_nothing_else_does(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_book, "PAUSES_OF_ONE_MAX", 3)
    made = [lapsing(number, lapse_ms) for number, lapse_ms in enumerate((50, 10, None))]
    book = opened(side, delay_ms=0)
    for envelope in made:
        book = book.accept(envelope, 1).book
    with pytest.raises(HistoryError, match=r"order\.too-many: 3 pauses stand"):
        book.accept(lapsing(3, 100), 10)
    fourth = lapsing(3, 100)
    book = book.accept(fourth, 51).book
    assert {held.digest for held in book.pauses} == {made[0].digest, made[2].digest, fourth.digest}
    book = book.accept(lapsing(4, 100), 51).book
    with pytest.raises(HistoryError, match=r"order\.too-many"):
        book.accept(lapsing(5, 100), 51)
    others = book.accept(pausing(5, OFFICER_KEYS[1:2]), 51).book
    assert len(others.pauses) == 4


@pytest.mark.parametrize("side", SIDES)
def test_law_6_a_pause_that_lapsed_and_was_confirmed_gives_way_to_none(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_book, "PAUSES_OF_ONE_MAX", 1)
    first = lapsing(0, 10)
    book = opened(side, delay_ms=0).accept(first, 1).book
    confirmed = orders.sealed_order(further_orders.confirmation(pauses=(first.digest,)))
    book = book.accept(confirmed, 2).book
    with pytest.raises(HistoryError, match=r"order\.too-many"):
        book.accept(lapsing(1, 10), 100)
    assert [held.digest for held in book.pauses] == [first.digest]
