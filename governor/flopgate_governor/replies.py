"""What goes back to each message of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, bindparam, select

from flopgate_governor.core.checkpoint import Appended
from flopgate_governor.state import State
from flopgate_governor.store import schema
from flopgate_governor.store.logbook import proof_to
from flopgate_governor.store.prepared import Read
from flopgate_governor.store.records import StoredExchange
from flopgate_proto.batches import ProvenAnswer, seal_batch
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import FlopgateError
from flopgate_proto.v1 import flopgate_pb2 as pb

_B = schema.batch.c
_NUMBERS: Final[BindParameter[Any]] = bindparam("numbers", expanding=True)
_BATCHES: Final = Read(select(_B.number, _B.envelope, _B.log_proof).where(_B.number.in_(_NUMBERS)))


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

    def fill(self, batch: pb.AnswerBatch, indices: Sequence[int]) -> None:
        """The part of the batch that goes to one stream."""
        batch.batch_root.CopyFrom(self.root)
        batch.log.CopyFrom(self.proof)
        for index in indices:
            answer = self.answers[index]
            _fill_leaf(batch.answers.add(), answer.payload, index, answer.path)


def seal_answers(
    state: State,
    payloads: Sequence[bytes],
    *,
    number: int,
    policy_digest: bytes,
    logged_first: Sequence[Envelope] = (),
) -> Sealed:
    """Answers signed as one batch, and their log entry after ``logged_first``: not written yet."""
    root, answers = seal_batch(
        payloads,
        origin=state.authority,
        batch_number=number,
        previous=state.batch_digest,
        signer=state.permit,
        policy_digest=policy_digest,
    )
    appended = state.appended([*logged_first, root])
    return Sealed(
        number=number,
        digest=root.digest,
        answers=answers,
        root=envelope_to_wire(root),
        appended=appended,
        proof=proof_to(appended.logged),
    )


OlderBatches = Mapping[int, tuple[bytes, bytes]]
"""Envelope and log proof of earlier batches, by number, as they were stored."""


def older_batches(connection: Connection, replies: Replies) -> OlderBatches:
    """Read the batches that retries are answered from."""
    numbers = {item.batch_number for stored in replies.stored for item in stored}
    if not numbers:
        return {}
    return {row[0]: (row[1], row[2]) for row in _BATCHES.run(connection, sorted(numbers))}


def assemble(replies: Replies, sealed: Sealed | None, older: OlderBatches) -> list[pb.LinkDown]:
    """One reply for each message of the batch."""
    downs = []
    for position, notices in enumerate(replies.notices):
        # Filled in place: a message given to another's constructor is copied.
        down = pb.LinkDown(notices=notices)
        if sealed is not None and replies.fresh[position]:
            sealed.fill(down.batches.add(), replies.fresh[position])
        for item in replies.stored[position]:
            _fill_again(down.batches.add(), item, older)
        downs.append(down)
    return downs


def _fill_again(batch: pb.AnswerBatch, item: StoredExchange, older: OlderBatches) -> None:
    envelope, proof = older[item.batch_number]
    batch.batch_root.ParseFromString(envelope)
    batch.log.ParseFromString(proof)
    _fill_leaf(batch.answers.add(), item.answer, item.index, item.path)


def _fill_leaf(leaf: pb.AnswerLeaf, payload: bytes, index: int, path: Sequence[bytes]) -> None:
    leaf.payload = payload
    leaf.index = index
    leaf.path.extend(path)


def notice(
    host_id: bytes,
    digest: bytes,
    error: FlopgateError,
    expected_sequence: int = 0,
    retry_after_ms: int = 0,
) -> pb.Notice:
    """Advice for the sender of a statement that did not go on record."""
    return pb.Notice(
        host_id=host_id,
        statement_digest=digest,
        reason=error.code,
        detail=f"{error.detail} {error.remedy}".strip(),
        expected_sequence=expected_sequence,
        retry_after_ms=retry_after_ms,
    )
