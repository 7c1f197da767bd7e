"""Trust and the book of orders at their edges: who counts once, what is due first, what is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ForgedError, HistoryError
from flopgate_proto.keys import SigningKey
from flopgate_proto.orders import book as order_book
from flopgate_proto.orders.book import (
    DELEGATIONS_KEPT,
    FALLEN_KEPT,
    GATE,
    GOVERNOR,
    PAUSE_LAPSE_MS,
    OrderBook,
    Side,
)
from flopgate_proto.orders.held import LatchedPause
from flopgate_proto.trust import Trust
from flopgate_proto.values import Key, Scope, ScopeKind
from tests.support import further_orders, orders
from tests.support.fixed import OFFICER_KEYS

SIDES = (GATE, GOVERNOR)
DELAY_MS = 1_000
EVERYTHING = Scope(ScopeKind.EVERYTHING)
IDS = [key.key_id for key in OFFICER_KEYS]


def of_names(*names: str) -> Trust:
    """A first root whose keys belong to these officers."""
    keys = tuple(
        Key(name=name, spki=key.spki) for name, key in zip(names, OFFICER_KEYS, strict=True)
    )
    first = orders.sealed_order(orders.trust_root(keys=keys), OFFICER_KEYS)
    return Trust.pinned(first, first.digest)


def book_of(side: Side, **policy: Any) -> OrderBook:
    """With a policy in force since 0."""
    book = OrderBook(side=side, trust=orders.trust())
    return book.accept(orders.sealed_order(orders.policy(**policy)), 0).book


def wide(number: int = 0, lapse_ms: int | None = None) -> Envelope:
    """One officer's pause of everything."""
    order = orders.pause(scope=EVERYTHING, lapse_ms=lapse_ms, nonce=bytes([number]) * 16)
    return orders.sealed_order(order, OFFICER_KEYS[:1])


# ---------------------------------------------------------------------- who counts


def test_law_6_two_keys_of_one_officer_are_no_quorum() -> None:
    trust = of_names("ann", "ann", "bea")
    resume = replace(orders.resume(), authority_id=trust.authority_id)
    with pytest.raises(ForgedError) as caught:
        trust.verify(orders.sealed_order(resume, OFFICER_KEYS[:2]))
    assert caught.value.code == "order.officers"
    assert trust.verify(orders.sealed_order(resume, OFFICER_KEYS[1:])).order == resume


def test_a_role_is_filled_by_its_threshold_of_officers() -> None:
    trust = of_names("ann", "ann", "bea")
    assert trust.fills("resume", frozenset(IDS[1:]))
    assert not trust.fills("resume", frozenset(IDS[:2]))
    assert not trust.fills("resume", frozenset(IDS[2:]))
    assert not trust.fills("nobody", frozenset(IDS))


def test_law_6_a_revoked_key_still_vetoes_and_does_nothing_else() -> None:
    trust = orders.trust().without(IDS[0])
    veto = orders.sealed_order(further_orders.veto(), OFFICER_KEYS[:1])
    assert trust.verify(veto).signers == {IDS[0]}
    with pytest.raises(ForgedError):
        trust.verify(orders.sealed_order(orders.pause(), OFFICER_KEYS[:1]))


def test_a_key_stays_revoked_under_the_next_root() -> None:
    trust = orders.trust().without(IDS[0])
    later = orders.sealed_order(orders.trust_root(version=2), OFFICER_KEYS[1:])
    trust = trust.successor(later)
    assert trust.revoked == {IDS[0]}
    with pytest.raises(ForgedError):
        trust.verify(orders.sealed_order(orders.pause(), OFFICER_KEYS[:1]))


def test_one_revocation_does_not_undo_another() -> None:
    everyone = tuple(range(len(OFFICER_KEYS)))
    roles = tuple(replace(role, threshold=1, keys=everyone) for role in orders.trust_root().roles)
    first = orders.sealed_order(orders.trust_root(roles=roles), OFFICER_KEYS)
    trust = Trust.pinned(first, first.digest).without(IDS[0]).without(IDS[1])
    assert trust.revoked == set(IDS[:2])
    with pytest.raises(HistoryError) as caught:
        trust.without(IDS[2])
    assert caught.value.code == "revocation.root"


def test_only_what_revoked_keys_alone_stand_behind_is_suspected() -> None:
    envelope = wide()
    pause = LatchedPause(
        pause=orders.pause(),
        digest=envelope.digest,
        envelope=envelope,
        since_ms=0,
        signers=frozenset(IDS[:2]),
    )
    assert pause.suspected(frozenset(IDS))
    assert not pause.suspected(frozenset(IDS[:1]))
    assert not replace(pause, confirmed=True).suspected(frozenset(IDS))
    assert not replace(pause, signers=frozenset()).suspected(frozenset(IDS))


# ---------------------------------------------------------------------- what is due, what is kept


@pytest.mark.parametrize("side", SIDES)
def test_what_is_due_first_comes_first_however_late_somebody_looks(side: Side) -> None:
    book = book_of(side, loosening_delay_ms=DELAY_MS)
    digests = []
    for version, lifetime_ms in ((2, 610_000), (3, 620_000)):
        policy = orders.policy(
            version=version, loosening_delay_ms=DELAY_MS, lifetime_ms=lifetime_ms
        )
        digests.append(orders.sealed_order(policy).digest)
        book = book.accept(orders.sealed_order(policy), version).book
    assert book.due_ms == 2 + DELAY_MS
    book, came = book.ripe(10 * DELAY_MS)
    assert [one.digest for one in came] == digests
    assert (book.policy_version, book.policy_since_ms) == (3, 3)


def test_the_newest_that_fell_are_remembered() -> None:
    book = book_of(GATE)
    for number in range(FALLEN_KEPT + 1):
        book = book.let_fall(bytes([number]), "code", "why")
    assert [one.digest[0] for one in book.fallen] == [*range(1, FALLEN_KEPT + 1)]


@pytest.mark.parametrize("side", SIDES)
def test_law_6_one_officers_wide_pause_lapses_within_what_policy_says(side: Side) -> None:
    book = book_of(side, pause_lapse_ms=50)
    assert book.accept(wide(lapse_ms=50), 0).book.pauses
    for lapse_ms in (51, None):
        with pytest.raises(ForgedError, match=r"pause\.lapse"):
            book.accept(wide(lapse_ms=lapse_ms), 0)


def test_before_any_policy_a_governor_alone_bounds_a_lapse() -> None:
    longer = wide(lapse_ms=PAUSE_LAPSE_MS + 1)
    assert OrderBook(side=GATE, trust=orders.trust()).accept(longer, 0).book.pauses
    book = OrderBook(side=GOVERNOR, trust=orders.trust())
    assert book.accept(wide(lapse_ms=PAUSE_LAPSE_MS), 0).book.pauses
    with pytest.raises(ForgedError, match=r"pause\.lapse"):
        book.accept(longer, 0)


@pytest.mark.parametrize("side", SIDES)
def test_law_6_a_confirmation_that_came_before_its_pause_counts(side: Side) -> None:
    pause = wide(lapse_ms=50)
    confirmed = further_orders.confirmation(pauses=(pause.digest,))
    book = book_of(side).accept(orders.sealed_order(confirmed), 0).book
    assert [held.confirmed for held in book.accept(pause, 1).book.pauses] == [True]


@pytest.mark.parametrize("side", SIDES)
def test_law_6_a_confirmation_that_came_first_outlasts_the_next(side: Side) -> None:
    pauses = [wide(number, lapse_ms=50) for number in range(2)]
    book = book_of(side)
    for pause in pauses:
        confirmed = further_orders.confirmation(pauses=(pause.digest,))
        book = book.accept(orders.sealed_order(confirmed), 0).book
    for pause in pauses:
        book = book.accept(pause, 1).book
    assert [held.confirmed for held in book.pauses] == [True, True]


@pytest.mark.parametrize("side", SIDES)
def test_law_6_what_a_quorum_pauses_takes_nobodys_room(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_book, "PAUSES_OF_ONE_MAX", 2)
    book = book_of(side)
    for number in range(3):
        pause = orders.pause(nonce=bytes([number]) * 16)
        book = book.accept(orders.sealed_order(pause), 0).book
    for number in range(3, 5):
        pause = orders.pause(nonce=bytes([number]) * 16)
        book = book.accept(orders.sealed_order(pause, OFFICER_KEYS[:1]), 0).book
    assert len(book.pauses) == 5


@pytest.mark.parametrize("side", SIDES)
def test_law_6_what_any_resume_lifted_never_latches_again(side: Side) -> None:
    book = book_of(side)
    pauses = [wide(number, lapse_ms=50) for number in range(2)]
    for number, pause in enumerate(pauses):
        lifts = orders.resume(lifts=(pause.digest,), nonce=bytes([number]) * 16)
        book = book.accept(orders.sealed_order(lifts), 0).book
    for pause in pauses:
        assert not book.accept(pause, 1).book.pauses


@pytest.mark.parametrize("side", SIDES)
def test_the_newest_delegations_stay(side: Side) -> None:
    book = book_of(side)
    keys = [SigningKey.from_scalar(0x8001 + number) for number in range(DELEGATIONS_KEPT + 1)]
    for serial, key in enumerate(keys, start=1):
        order = orders.delegation(serial=serial, permit_spki=key.spki)
        book = book.accept(orders.sealed_order(order), 0).book
    assert [one.key.key_id for one in book.delegated] == [key.key_id for key in keys[1:]]
    again = orders.delegation(serial=99, permit_spki=keys[2].spki)
    book = book.accept(orders.sealed_order(again), 1).book
    assert [one.key.key_id for one in book.delegated] == [
        *(key.key_id for key in (keys[1], *keys[3:], keys[2])),
    ]


@pytest.mark.parametrize("side", SIDES)
def test_law_7_no_delegation_revives_a_revoked_key(side: Side) -> None:
    order = orders.sealed_order(orders.delegation())
    book = book_of(side).accept(order, 0).book
    digest = bytes.fromhex(book.delegated[0].key.key_id)
    book = book.accept(orders.sealed_order(further_orders.revocation(key_digest=digest)), 0).book
    with pytest.raises(HistoryError, match=r"delegation\.revoked"):
        book.accept(orders.sealed_order(orders.delegation(serial=2)), 1)


@pytest.mark.parametrize("side", SIDES)
def test_what_a_fresh_gate_takes_counts_from_one_delay_ago(side: Side) -> None:
    book = book_of(side, loosening_delay_ms=DELAY_MS)
    looser = orders.policy(version=2, loosening_delay_ms=DELAY_MS, lifetime_ms=610_000)
    accepted = book.accept(orders.sealed_order(looser), 5 * DELAY_MS, fresh=True)
    assert accepted.since_ms == accepted.book.policy_since_ms == 4 * DELAY_MS
