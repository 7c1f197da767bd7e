"""Who signs for an authority, by orders that anybody brings together, in any order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import ConfigError, FlopgateError, MisdirectedError, OversizedError
from flopgate_proto.keys import key_digest
from flopgate_proto.signers import ROOTS_MAX, signers_of
from tests.support import orders
from tests.support.governor import (
    NEXT_PERMIT,
    OFFICERS,
    PERMIT,
    LocalGovernor,
    delegation,
    signed,
    trust_root,
)
from tests.support.governor_steps import SUCCESSORS, seat_successors

FIRST = trust_root()


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Envelope, Envelope]:
    """Of one authority whose officers were all replaced."""
    governor = LocalGovernor.make(tmp_path / "g.sqlite")
    seat_successors(governor)
    first, second = governor.state.book.roots
    return first, second


def test_orders_count_in_any_order_and_under_any_root_that_counts(
    roots: tuple[Envelope, Envelope],
) -> None:
    first, second = roots
    old, new = signed(delegation()), replace(delegation(), serial=2, permit_spki=NEXT_PERMIT.spki)
    statements = [signed(new, SUCCESSORS[:2]), second, old, first]
    both = {key_digest(key.spki).hex() for key in (PERMIT, NEXT_PERMIT)}
    for named in ([first.digest], [second.digest, first.digest]):
        assert set(signers_of(statements, named).keys) == both
    found = signers_of(statements, [second.digest])
    assert set(found.keys) == {key_digest(NEXT_PERMIT.spki).hex()}
    # The proof leads from the first root on, whichever is named, and holds no more than it takes.
    proof = found.proof(found.keys)
    assert [one.digest for one in proof] == [first.digest, second.digest, statements[0].digest]
    assert signers_of(proof, [second.digest]).keys.keys() == found.keys.keys()


def test_what_one_officer_signed_or_nobody_knows_lets_nobody_sign() -> None:
    alone = signed(delegation(), OFFICERS[:1])
    strange = signed(replace(delegation(), serial=2), SUCCESSORS[:2])
    assert not signers_of([FIRST, alone, strange], [FIRST.digest]).keys


def test_a_root_with_signatures_that_do_not_hold_hides_none_that_has_them() -> None:
    bad = Envelope(FIRST.payload_type, FIRST.payload, FIRST.signatures[:1])
    statements = [bad, FIRST, signed(delegation())]
    assert signers_of(statements, [FIRST.digest]).keys
    with pytest.raises(MisdirectedError, match="no trust root"):
        signers_of([bad], [FIRST.digest])


def test_a_second_root_that_the_first_officers_did_not_sign_is_none_of_theirs(
    roots: tuple[Envelope, Envelope],
) -> None:
    first, second = roots
    usurped = Envelope(second.payload_type, second.payload, second.signatures[2:])
    order = signed(replace(delegation(), serial=2), SUCCESSORS[:2])
    assert not signers_of([first, usurped, order], [first.digest]).keys


@pytest.mark.parametrize(
    ("code", "kind", "named", "statements"),
    [
        ("trust-root.none", ConfigError, [], [FIRST]),
        ("trust-root.pin", MisdirectedError, [bytes(32)], [FIRST]),
        (
            "trust-root.authority",
            MisdirectedError,
            [FIRST.digest, orders.sealed_order(orders.trust_root()).digest],
            [FIRST, orders.sealed_order(orders.trust_root())],
        ),
        (
            "trust-root.too-many",
            OversizedError,
            [FIRST.digest],
            [
                Envelope(FIRST.payload_type, bytes([n // 256, n % 256]), FIRST.signatures)
                for n in range(ROOTS_MAX + 1)
            ],
        ),
    ],
)
def test_what_names_no_authority_is_refused(
    code: str, kind: type[FlopgateError], named: list[bytes], statements: list[Envelope]
) -> None:
    with pytest.raises(kind) as refused:
        signers_of(statements, named)
    assert refused.value.code == code
