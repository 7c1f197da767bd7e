"""The row of batches that an authority signed, as its answers left; see `host`."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from flopgate_proto.envelope import statement_digest
from flopgate_proto.v1 import flopgate_pb2 as pb


@dataclass(slots=True)
class RowTruth:
    """One authority's, since its store was put back last.

    Answers of a batch may leave late, after those of newer ones, or never.
    """

    _numbers: list[int] = field(default_factory=list)
    """Sorted."""
    _before: list[bytes] = field(default_factory=list)
    """Of each of these, the digest of the root that it names as the one before."""
    _number_of: dict[bytes, int] = field(default_factory=dict)

    def restored(self) -> None:
        """It goes on from a batch of before: a second row, which officers reconcile."""
        self._numbers.clear()
        self._before.clear()
        self._number_of.clear()

    def left(self, root: pb.Envelope) -> list[str]:
        """Answers leave under this root, now or once more: what is wrong with it."""
        digest = statement_digest(root.payload_type, root.payload)
        if digest in self._number_of:
            return []
        batch = pb.BatchRoot.FromString(root.payload)
        number, before = batch.batch_number, self._number_of.get(batch.previous)
        place = bisect_left(self._numbers, number)
        later = self._before[place] if place < len(self._before) else b""
        self._number_of[digest] = number
        self._numbers.insert(place, number)
        self._before.insert(place, batch.previous)
        if number in self._numbers[place + 1 : place + 2]:
            return [f"two batches {number} were signed"]
        lower = self._numbers[place - 1] if place else 0
        if before is not None and before != lower:
            return [f"batch {number} goes on after {before}, and {lower} was signed as well"]
        if later in self._number_of and later != digest:
            return [f"batch {number} was signed between two that follow one another"]
        return []
