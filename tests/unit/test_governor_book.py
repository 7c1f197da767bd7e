"""What a governor alone keeps of its officers' orders: what is told again, what was lost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from flopgate_governor.core import orders as core
from flopgate_governor.core.orders import GovernorBook, Halt
from flopgate_governor.core.quotes import AHEAD_MAX
from flopgate_proto.errors import HistoryError
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.values import Key, Order, Scope, ScopeKind
from tests.support import further_orders, orders
from tests.support.fixed import OFFICER_KEYS

UNIX_MS = 1_800_000_000_000


def first() -> GovernorBook:
    return GovernorBook.first(orders.sealed_order(orders.trust_root()))


def halted(quoted_batch: int, own_batch: int = 5) -> GovernorBook:
    shown = Halt(quoted_batch=quoted_batch, own_batch=own_batch, host_id=bytes(32))
    return first().halted(shown)


def with_orders(
    book: GovernorBook, *many: Order, signers: Sequence[SigningKey] = ()
) -> GovernorBook:
    for order in many:
        book = book.accept(orders.sealed_order(order, signers or OFFICER_KEYS[:2]), UNIX_MS)
    return book


# ---------------------------------------------------------------------- told again


def test_a_confirmation_is_told_as_long_as_one_of_its_pauses_stands() -> None:
    wide = [
        orders.pause(scope=Scope(ScopeKind.EVERYTHING), nonce=bytes([n]) * 16) for n in range(2)
    ]
    digests = tuple(orders.sealed_order(pause).digest for pause in wide)
    confirmation = further_orders.confirmation(pauses=digests)
    digest = orders.sealed_order(confirmation).digest
    book = with_orders(first(), orders.policy(), *wide, confirmation)
    for number, told in ((0, True), (1, False)):
        lifts = orders.resume(lifts=(digests[number],), nonce=bytes([number]) * 16)
        other = further_orders.veto(order_digest=bytes([number]) * 32)
        book = with_orders(book, lifts, other)
        assert (digest in {one.digest for one in book.still_told}) is told


def test_the_newest_resumes_are_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "RESUMES_KEPT", 2)
    resumes = [orders.resume(nonce=bytes([number]) * 16) for number in range(3)]
    book = with_orders(first(), orders.policy(), *resumes)
    kept = [orders.sealed_order(one).digest for one in resumes[1:]]
    assert [one.digest for one in book.resumes] == kept


def test_the_keys_of_every_former_root_are_known() -> None:
    book, held = first(), [*OFFICER_KEYS]
    former: set[bytes] = set()
    for version in (2, 3):
        former |= {key_digest(key.spki) for key in held}
        new = [SigningKey.from_scalar(0x6000 + 10 * version + n) for n in range(3)]
        keys = tuple(Key(name=f"new-{n}", spki=key.spki) for n, key in enumerate(new))
        root = orders.trust_root(version=version, keys=keys)
        book = with_orders(book, root, signers=[*held[:2], *new[:2]])
        held = new
        assert book.former == former
    assert [one.digest for one in book.roots[:1]] == [orders.TRUST_ROOT_DIGEST]
    assert len(book.roots) == 3


# ---------------------------------------------------------------------- what was lost


@pytest.mark.parametrize("quoted_batch", [41, UNIX_MS + AHEAD_MAX + 5])
def test_law_4_a_reconciliation_reaches_as_far_as_was_quoted_or_as_numbers_may(
    quoted_batch: int,
) -> None:
    book = halted(quoted_batch)
    most = max(quoted_batch, UNIX_MS + AHEAD_MAX)
    for batch in (quoted_batch - 1, most + 1):
        with pytest.raises(HistoryError, match=r"reconcile\.batch"):
            with_orders(book, orders.reconciliation(batch_number=batch))
    for batch in (quoted_batch, most):
        taken = with_orders(book, orders.reconciliation(batch_number=batch))
        assert (taken.halt, taken.lost) == (None, ((5, batch),))
        assert taken.least_batch == batch
        assert taken.reconciled_unix_ms == UNIX_MS


def test_law_4_numbers_stay_above_the_highest_that_was_ever_lost() -> None:
    book = with_orders(halted(90), orders.reconciliation(batch_number=90))
    shown = Halt(quoted_batch=40, own_batch=30, host_id=bytes(32))
    again = orders.reconciliation(batch_number=40, nonce=bytes([1]) * 16)
    book = with_orders(book.halted(shown), again)
    assert book.lost == ((5, 90), (30, 40))
    assert book.least_batch == 90


def test_law_2_officers_tell_of_lost_licenses_that_have_not_ended() -> None:
    over = orders.reconciliation(batch_number=0, licenses_until_unix_ms=UNIX_MS)
    with pytest.raises(HistoryError, match=r"reconcile\.not-halted"):
        with_orders(first(), over)
    lasting = orders.reconciliation(batch_number=0, licenses_until_unix_ms=UNIX_MS + 1)
    book = with_orders(first(), lasting)
    assert (book.reconciled_unix_ms, book.licenses_until_unix_ms) == (UNIX_MS, UNIX_MS + 1)
    shorter = orders.reconciliation(batch_number=41, licenses_until_unix_ms=7)
    shown = Halt(quoted_batch=41, own_batch=5, host_id=bytes(32))
    assert with_orders(book.halted(shown), shorter).licenses_until_unix_ms == UNIX_MS + 1
