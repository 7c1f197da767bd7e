"""What an authority's store lost as a backup took its place, and who shows that; see `host`."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field

from flopgate_proto.codec import PayloadType
from flopgate_proto.envelope import statement_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.world.truths.rows import RowTruth

_NEVER = 2**62


@dataclass(slots=True)
class LossTruth:
    """One authority.

    Attributes:
        lost: digests of answers that left and that the store in use does not know: a backup took
            its place, and no officers have reconciled that yet.
        shown_unix_ms: since this time of the authority's own a report proves it: it quotes one of
            them, and the root of that batch came along, just as it was signed.
    """

    lost: set[bytes] = field(default_factory=set)
    shown_unix_ms: int | None = None
    _told: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    """By digest of an answer: number and root of its batch. A number may have two roots."""
    _lost_roots: dict[bytes, int] = field(default_factory=dict)
    _kept: int = _NEVER
    """Up to this number nothing was lost since the last reconciliation."""
    _shown: int = 0
    """The highest lost number whose root came since then, whatever it was to prove."""
    _reconciled: list[tuple[int, int]] = field(default_factory=list)
    _row: RowTruth = field(default_factory=RowTruth)

    def left(self, batch: pb.AnswerBatch) -> list[str]:
        """Answers leave, now or once more: what is wrong with their batch."""
        number = pb.BatchRoot.FromString(batch.batch_root.payload).batch_number
        root = batch.batch_root.SerializeToString(deterministic=True)
        for leaf in batch.answers:
            self._told[statement_digest(PayloadType.ANSWER, leaf.payload)] = (number, root)
        return self._row.left(batch.batch_root)

    def restored(self, batch_number: int) -> None:
        """A store that knows batches up to this one took the place of the one in use."""
        for digest, (number, root) in self._told.items():
            if number > batch_number:
                self.lost.add(digest)
                self._lost_roots[root] = number
        self._kept = min(self._kept, batch_number)
        self._row.restored()

    @property
    def gave(self) -> Container[bytes]:
        """Digests of all answers that ever left."""
        return self._told

    def without(self, answers: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Of these answers, by request, those that are not lost."""
        return {
            request: payload
            for request, payload in answers.items()
            if statement_digest(PayloadType.ANSWER, payload) not in self.lost
        }

    def reconciled(self, batch_number: int) -> None:
        """Officers know of it: what was lost lies up to this number."""
        self._reconciled.append((self._kept, batch_number))
        self.shown_unix_ms, self._kept, self._shown = None, _NEVER, 0
        self.lost.clear()
        self._lost_roots.clear()

    def offered(
        self,
        signed: pb.SignedReport,
        report: pb.Report,
        unix_ms: int,
        *,
        made: bool,
        revoked: Collection[str] = (),
    ) -> None:
        """A report is about to be judged, with what came beside it.

        ``made``: by a gate; else its host lies under its own key, which proves no loss of an
        answer. A root that was lost does, whoever brings it, unless its key was revoked.
        """
        if not self.lost:
            return
        came = [
            root.SerializeToString(deterministic=True)
            for root in signed.quoted_roots
            if not (root.signatures and root.signatures[0].keyid in revoked)
        ]
        for quote in report.quotes:
            lost = quote.answer_digest in self.lost
            if made and lost and self._told[quote.answer_digest][1] in came:
                self.shown_unix_ms = self.shown_unix_ms or unix_ms
            if any(self._lost_roots.get(root) == quote.batch_number for root in came):
                self._shown = max(self._shown, quote.batch_number)

    def may_be_lost(self, report: pb.Report, authority: str) -> bool:
        """Whether what a report quotes of the authority is of a number that counts as lost.

        Whatever it quotes there is taken for lost, since nobody can tell: by what was shown, or by
        what officers reconciled.
        """
        ranges = [*self._reconciled, (self._kept, self._shown)]
        return any(
            above < quote.batch_number <= upto
            for quote in report.quotes
            if quote.authority == authority
            for above, upto in ranges
        )
