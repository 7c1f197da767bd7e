"""Batches of one history never contradict each other, whatever of them is held; two do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flopgate_proto.envelope import Envelope, Signature
from flopgate_proto.histories import Conflict, Contradiction, SignedRoot, contradictions
from flopgate_proto.values.answers import BatchRoot

_STEPS = st.lists(st.integers(1, 3), min_size=1, max_size=40)


def row(
    steps: list[int], number: int = 0, before: bytes = bytes(32), tag: int = 0
) -> list[SignedRoot]:
    """Roots, each after the one before it, with numbers so far apart."""
    found = []
    for step in steps:
        number += step
        digest = bytes([tag]) + number.to_bytes(31, "big")
        batch = BatchRoot(
            origin="a", batch_number=number, tree_size=1, root=bytes(32), previous=before
        )
        envelope = Envelope("x", digest, (Signature("k", b"s"),))
        found.append(SignedRoot(digest=digest, batch=batch, envelope=envelope, key_id="k"))
        before = digest
    return found


@given(_STEPS, st.data())
def test_of_one_history_nothing_contradicts(steps: list[int], data: st.DataObject) -> None:
    roots = row(steps)
    held = data.draw(st.lists(st.sampled_from(roots), unique_by=lambda one: one.digest))
    assert not list(contradictions(held))


@given(_STEPS, _STEPS, _STEPS)
def test_a_history_that_goes_on_twice_is_found_where_it_does(
    common: list[int], one: list[int], other: list[int]
) -> None:
    stem = row(common, tag=1)
    end = stem[-1]
    rows = [
        row(steps, end.batch.batch_number, end.digest, tag) for tag, steps in ((2, one), (3, other))
    ]
    found = list(contradictions([*stem, *rows[0], *rows[1]]))
    first = {rows[0][0].digest, rows[1][0].digest}
    assert any({root.digest for root in told.roots} == first for told in found)
    for told in found:
        branches = {root.digest[:1] for root in told.roots}
        assert branches >= {b"\x02", b"\x03"}, "nobody is accused within one history"


@given(st.integers(2, 30), st.integers(0, 5))
def test_two_rows_that_go_on_side_by_side_are_found_without_their_beginning(
    length: int, begin: int
) -> None:
    one = row([2] * (length + begin), number=0, tag=2)[begin:]
    other = row([2] * (length + begin), number=1, tag=3)[begin:]
    conflicts = {told.conflict for told in contradictions([*one, *other])}
    assert Conflict.BETWEEN in conflicts


@given(_STEPS, _STEPS, _STEPS, _STEPS)
def test_what_was_reconciled_hides_no_second_history_after_it(
    common: list[int], lost: list[int], one: list[int], other: list[int]
) -> None:
    """What was lost goes up to the reconciled number; two rows go on from before it."""
    stem = row(common, tag=1)
    end = stem[-1]
    gone = row(lost, end.batch.batch_number, end.digest, tag=2)
    upto = gone[-1].batch.batch_number

    def told(*rows: list[SignedRoot]) -> list[Contradiction]:
        found = contradictions([*stem, *gone, *(root for roots in rows for root in roots)])
        return [each for each in found if not each.is_reconciled(upto)]

    honest = row(one, upto, end.digest, tag=3)
    assert not told(honest)
    assert told(honest, row(other, honest[0].batch.batch_number, end.digest, tag=4))
    # Nor where it goes on from what was lost.
    later = row([1 + sum(one), *other], upto, end.digest, tag=5)
    assert told(later, row([1], later[0].batch.batch_number - 2, gone[-1].digest, tag=6))
