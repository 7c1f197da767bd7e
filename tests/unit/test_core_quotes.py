"""Which numbers of batches are lost, ours or next, and what a quote of nothing is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_governor.core.facts import HostFacts, IssuedAnswer
from flopgate_governor.core.orders import GovernorBook, Halt
from flopgate_governor.core.quotes import Numbering, next_number, read_quote
from flopgate_proto.values import Quote
from tests.support import orders
from tests.support.governor import AUTHORITY, FakeHost
from tests.support.host_facts import facts

UNIX_MS = 1_000_000


def test_law_4_lost_numbers_lie_above_what_was_kept_up_to_what_was_shown() -> None:
    reconciled = Numbering(reach=0, ours={}, lost=((10, 20),))
    assert [reconciled.was_lost(number) for number in (10, 11, 20, 21)] == [
        False, True, True, False,
    ]  # fmt: skip
    halted = Numbering(reach=0, ours={}, halt=(10, 20))
    assert [halted.is_losing(number) for number in (10, 11, 20, 21)] == [False, True, True, False]


def test_law_4_while_halted_no_number_above_what_is_certain_is_ours() -> None:
    """Two batches of one number may both be ours then: nobody is accused of holding the first."""
    ours = {10: bytes(32), 11: bytes(32)}
    assert Numbering(reach=0, ours=ours).is_ours(11)
    halted = Numbering(reach=0, ours=ours, halt=(10, 20))
    assert (halted.is_ours(10), halted.is_ours(11)) == (True, False)


def test_law_4_no_number_is_used_again() -> None:
    assert next_number(7, UNIX_MS, 0) == UNIX_MS, "a store put back knows no number since"
    assert next_number(7, UNIX_MS, 50) == UNIX_MS + 50, "nor those that lay ahead of the time"
    assert next_number(UNIX_MS + 80, UNIX_MS, 50) == UNIX_MS + 81


def test_law_4_numbers_stay_as_far_ahead_as_any_reconciled_one_was() -> None:
    book = GovernorBook.first(orders.sealed_order(orders.trust_root()))
    for quoted, ahead in ((UNIX_MS + 90, 90), (UNIX_MS + 30, 90)):
        halted = book.halted(shown(quoted, 5))
        nonce = quoted.to_bytes(16, "big")
        order = orders.reconciliation(batch_number=quoted, nonce=nonce)
        book = halted.accept(orders.sealed_order(order), UNIX_MS)
        assert (book.halt, book.ahead) == (None, ahead)


def shown(quoted_batch: int, own_batch: int) -> Halt:
    return Halt(quoted_batch=quoted_batch, own_batch=own_batch, host_id=bytes(32))


def test_law_4_of_several_losses_the_widest_range_counts() -> None:
    book = GovernorBook.first(orders.sealed_order(orders.trust_root()))
    book = book.halted(shown(20, 9))
    assert book.halted(shown(30, 12)).halt == shown(30, 9)
    assert book.halted(shown(15, 4)).halt == shown(20, 4)


@pytest.mark.parametrize("quote", [None, Quote(authority=AUTHORITY)], ids=["no quote", "of none"])
def test_law_4_who_quoted_an_answer_and_then_none_is_stale(quote: Quote | None) -> None:
    """It is an older machine, or a copy of one: it is granted nothing."""
    host = facts(FakeHost(1), 7)
    assert not read(quote, host)
    known = IssuedAnswer(digest=b"\x01" * 32, batch_number=4, governor_unix_ms=UNIX_MS)
    assert read(quote, replace(host, quoted=known))


def read(quote: Quote | None, host: HostFacts) -> bool:
    return read_quote(quote, host, None, Numbering(reach=0, ours={}), proven=False).stale
