"""What an authority's store lost as a backup took its place, and who shows that; see `host`."""

from __future__ import annotations

from dataclasses import dataclass, field

from flopgate_proto.codec import PayloadType
from flopgate_proto.envelope import statement_digest
from flopgate_proto.v1 import flopgate_pb2 as pb


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
    _told: dict[bytes, int] = field(default_factory=dict)
    _roots: dict[int, pb.Envelope] = field(default_factory=dict)

    def left(self, batch: pb.AnswerBatch) -> None:
        """Answers leave, now or once more."""
        number = pb.BatchRoot.FromString(batch.batch_root.payload).batch_number
        self._roots[number] = batch.batch_root
        for leaf in batch.answers:
            self._told[statement_digest(PayloadType.ANSWER, leaf.payload)] = number

    def restored(self, batch_number: int) -> None:
        """A store that knows batches up to this one took the place of the one in use."""
        self.lost |= {digest for digest, number in self._told.items() if number > batch_number}

    def reconciled(self) -> None:
        """Officers know of it."""
        self.shown_unix_ms = None
        self.lost.clear()

    def offered(self, signed: pb.SignedReport, report: pb.Report, unix_ms: int) -> None:
        """A report is about to be judged, with what came beside it."""
        if self.shown_unix_ms is None and any(
            self._roots[quote.batch_number] in signed.quoted_roots
            for quote in report.quotes
            if quote.answer_digest in self.lost
        ):
            self.shown_unix_ms = unix_ms
