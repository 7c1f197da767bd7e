"""Signed batch roots of one authority that cannot stand in one history (law 4).

Batches of an authority are one row: numbers grow, and each root names the digest of the one before
it. Hosts hold roots of the batches in which they were answered; whoever brings together what
several hosts hold sees where the row is two:

two of one number          whatever the authority says
two that follow one        the row went on twice
one between two that       the row was: P, then X; and Z has a number between theirs. Two rows
follow one another         that are signed at the same time show this all along, wherever they part
one that follows a later   its number is not above that of the root that it names as the one before

A governor whose store was put back signs a second row as well, after what it lost. Officers sign
that they reconciled it, up to a number: what has a root up to there is `reconciled`. Two roots of
one number are no loss.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flopgate_proto.envelope import Envelope
from flopgate_proto.values.answers import BatchRoot


class Conflict(enum.StrEnum):
    """What cannot stand in one history."""

    ONE_NUMBER = "two batches of one number"
    ONE_BEFORE = "two batches after one"
    BETWEEN = "a batch between two that follow one another"
    BACKWARDS = "a batch after one of a higher number"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRoot:
    """A root whose signature was checked.

    Attributes:
        digest: of its statement.
        key_id: who signed it.
    """

    digest: bytes
    batch: BatchRoot
    envelope: Envelope
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Two or three roots that prove it, the lowest number first."""

    conflict: Conflict
    roots: tuple[SignedRoot, ...]

    def is_reconciled(self, upto: int) -> bool:
        """Whether it is what a reconciliation up to this batch says: some of these were lost."""
        lost = self.conflict in {Conflict.ONE_BEFORE, Conflict.BETWEEN}
        # Of one between two it is this one, or the others.
        lowest = self.roots[1 if self.conflict is Conflict.BETWEEN else 0]
        return lost and lowest.batch.batch_number <= upto


def contradictions(roots: Iterable[SignedRoot]) -> Iterator[Contradiction]:
    """Whatever cannot stand in one history, by number; each pair or triple once.

    ``roots``: of one authority, each once.
    """
    row = sorted(roots, key=lambda one: (one.batch.batch_number, one.digest))
    numbers = [one.batch.batch_number for one in row]
    known = {one.digest: one for one in row}
    followed: dict[bytes, SignedRoot] = {}
    for place, root in enumerate(row):
        if place and numbers[place - 1] == numbers[place]:
            yield Contradiction(conflict=Conflict.ONE_NUMBER, roots=(row[place - 1], root))
        # Of several the latest: what was reconciled before it would excuse this one, too.
        beside = followed.get(root.batch.previous)
        followed[root.batch.previous] = root
        if beside is not None and beside.batch.batch_number < numbers[place]:
            yield Contradiction(conflict=Conflict.ONE_BEFORE, roots=(beside, root))
        before = known.get(root.batch.previous)
        if before is None:
            continue
        if before.batch.batch_number >= numbers[place]:
            yield Contradiction(conflict=Conflict.BACKWARDS, roots=(root, before))
            continue
        between = row[bisect_left(numbers, numbers[place]) - 1]
        if between is not beside and between.batch.batch_number > before.batch.batch_number:
            yield Contradiction(conflict=Conflict.BETWEEN, roots=(before, between, root))
