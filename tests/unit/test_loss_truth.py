"""What the judge knows of answers that an authority's store lost."""

from __future__ import annotations

import pytest

from flopgate_proto.codec import PayloadType
from flopgate_proto.envelope import statement_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.world.truths.losses import LossTruth

HOME = "home.example"
KEPT, LOST, LATER = 100, 200, 300
NOW_UNIX_MS = 1_000


def batch(number: int, told: bytes) -> pb.AnswerBatch:
    root = pb.BatchRoot(origin=HOME, batch_number=number, root=told * 32)
    envelope = pb.Envelope(payload=root.SerializeToString())
    return pb.AnswerBatch(batch_root=envelope, answers=[pb.AnswerLeaf(payload=told)])


def quoting(number: int, answer_digest: bytes) -> pb.Report:
    quote = pb.Quote(authority=HOME, batch_number=number, answer_digest=answer_digest)
    return pb.Report(quotes=[quote])


def digest_of(batch: pb.AnswerBatch) -> bytes:
    return statement_digest(PayloadType.ANSWER, batch.answers[0].payload)


def beside(*roots: pb.Envelope) -> pb.SignedReport:
    return pb.SignedReport(quoted_roots=roots)


@pytest.fixture
def truth() -> LossTruth:
    """A store that knows batches up to KEPT took the place of one that had signed LOST as well."""
    truth = LossTruth()
    for number in (KEPT, LOST):
        truth.left(batch(number, bytes([number])))
    truth.restored(KEPT)
    return truth


def test_a_number_that_is_used_again_hides_no_root(truth: LossTruth) -> None:
    lost, again = batch(LOST, bytes([LOST])), batch(LOST, b"x")
    truth.left(again)
    report = quoting(LOST, digest_of(lost))
    truth.offered(beside(again.batch_root), report, NOW_UNIX_MS, made=True)
    assert truth.shown_unix_ms is None
    truth.offered(beside(lost.batch_root), report, NOW_UNIX_MS, made=True)
    assert truth.shown_unix_ms == NOW_UNIX_MS


def test_what_nobody_answered_counts_as_lost_once_a_root_of_the_loss_came(truth: LossTruth) -> None:
    lie = quoting(LOST, bytes(32))
    assert not truth.may_be_lost(lie, HOME)
    truth.offered(beside(batch(LOST, b"x").batch_root), lie, NOW_UNIX_MS, made=False)
    assert not truth.may_be_lost(lie, HOME)
    truth.offered(beside(batch(LOST, bytes([LOST])).batch_root), lie, NOW_UNIX_MS, made=False)
    assert truth.may_be_lost(lie, HOME)
    assert truth.shown_unix_ms is None


@pytest.mark.parametrize(
    ("number", "counts"), [(KEPT, False), (KEPT + 1, True), (LOST, True), (LOST + 1, False)]
)
def test_numbers_between_what_is_kept_and_what_is_shown_are_lost(
    truth: LossTruth, number: int, *, counts: bool
) -> None:
    lost = batch(LOST, bytes([LOST]))
    truth.offered(beside(lost.batch_root), quoting(LOST, digest_of(lost)), NOW_UNIX_MS, made=True)
    assert truth.may_be_lost(quoting(number, bytes(32)), HOME) is counts
    assert not truth.may_be_lost(quoting(number, bytes(32)), "another.example")


@pytest.mark.parametrize(
    ("number", "counts"), [(KEPT, False), (KEPT + 1, True), (LATER, True), (LATER + 1, False)]
)
def test_what_officers_reconciled_stays_lost(
    truth: LossTruth, number: int, *, counts: bool
) -> None:
    truth.reconciled(LATER)
    assert not truth.lost
    assert truth.may_be_lost(quoting(number, bytes(32)), HOME) is counts
