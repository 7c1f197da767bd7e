"""Roots of answers, as gates keep them and give them beside reports that quote these answers."""

from flopgate_proto.codec import PayloadType, envelope_to_wire
from flopgate_proto.envelope import Envelope, statement_digest
from flopgate_proto.v1 import flopgate_pb2 as pb


class QuotedRoots(dict[bytes, pb.Envelope]):
    """By the digest of the answer."""

    def note(self, *batches: pb.AnswerBatch) -> None:
        """Answers were given."""
        for batch in batches:
            for leaf in batch.answers:
                digest = statement_digest(PayloadType.ANSWER, leaf.payload)
                self[digest] = batch.batch_root

    def beside(self, *envelopes: Envelope) -> tuple[pb.SignedReport, ...]:
        """Reports, each with the roots of the answers that it quotes."""
        found = []
        for envelope in envelopes:
            quotes = pb.Report.FromString(envelope.payload).quotes
            roots = [self[one.answer_digest] for one in quotes if one.answer_digest in self]
            found.append(pb.SignedReport(envelope=envelope_to_wire(envelope), quoted_roots=roots))
        return tuple(found)
