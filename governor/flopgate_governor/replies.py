"""What goes back to each message of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from flopgate_governor import schema
from flopgate_governor.core.checkpoint import Appended
from flopgate_governor.records import StoredExchange
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.errors import FlopgateError
from flopgate_proto.v1 import flopgate_pb2 as pb


@dataclass(slots=True, kw_only=True)
class Replies:
    """What goes back to each submission, by its position."""

    notices: list[list[pb.Notice]]
    fresh: list[list[int]]
    stored: list[list[StoredExchange]]


@dataclass(slots=True, kw_only=True)
class Sealed:
    """Answers of a batch once they are signed; ``None`` stands for a batch without answers."""

    number: int
    digest: bytes
    answers: list[ProvenAnswer]
    root: pb.Envelope
    appended: Appended
    proof: pb.LogProof

    def as_wire(self, indices: Sequence[int]) -> pb.AnswerBatch:
        """The part of the batch that goes to one stream."""
        return pb.AnswerBatch(
            batch_root=self.root,
            answers=[leaf(self.answers[i].payload, i, self.answers[i].path) for i in indices],
            log=self.proof,
        )


OlderBatches = Mapping[int, tuple[bytes, bytes]]
"""Envelope and log proof of earlier batches, by number, as they were stored."""


def older_batches(connection: Connection, replies: Replies) -> OlderBatches:
    """Read the batches that retries are answered from."""
    numbers = {item.batch_number for stored in replies.stored for item in stored}
    if not numbers:
        return {}
    b = schema.batch.c
    rows = connection.execute(
        select(b.number, b.envelope, b.log_proof).where(b.number.in_(sorted(numbers)))
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def assemble(replies: Replies, sealed: Sealed | None, older: OlderBatches) -> list[pb.LinkDown]:
    """One reply for each message of the batch."""
    return [
        pb.LinkDown(
            batches=[
                *([sealed.as_wire(fresh)] if sealed is not None and fresh else ()),
                *(_again(item, older) for item in stored),
            ],
            notices=notices,
        )
        for notices, fresh, stored in zip(
            replies.notices, replies.fresh, replies.stored, strict=True
        )
    ]


def _again(item: StoredExchange, older: OlderBatches) -> pb.AnswerBatch:
    envelope, proof = older[item.batch_number]
    return pb.AnswerBatch(
        batch_root=pb.Envelope.FromString(envelope),
        answers=[leaf(item.answer, item.index, item.path)],
        log=pb.LogProof.FromString(proof),
    )


def leaf(payload: bytes, index: int, path: Sequence[bytes]) -> pb.AnswerLeaf:
    """An answer with its place in its batch."""
    return pb.AnswerLeaf(payload=payload, index=index, path=path)


def notice(
    host_id: bytes, digest: bytes, error: FlopgateError, expected_sequence: int = 0
) -> pb.Notice:
    """Advice for the sender of a statement that did not go on record."""
    return pb.Notice(
        host_id=host_id,
        statement_digest=digest,
        reason=error.code,
        detail=f"{error.detail} {error.remedy}".strip(),
        expected_sequence=expected_sequence,
    )
