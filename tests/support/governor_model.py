"""A host with the truth about itself: what it did, what it signed, which ceiling it may use."""

from flopgate_proto.batches import VerifiedAnswer
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Ceiling
from tests.support.governor import FakeHost, LocalGovernor, answers


class ModelHost:
    """A gate with the truth about itself: its live ceiling, and what it signed."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.sent: list[Envelope] = []
        self.totals: list[int] = []
        self.made_ms: dict[bytes, int] = {}
        self.acknowledged = 0
        self.ceiling = 0
        self.expires_ms = -1

    @property
    def live_ceiling(self) -> int:
        """The most that its allotted total can reach under what it accepted."""
        alive = self.host.now_ms < self.expires_ms
        return max(self.ceiling if alive else 0, self.host.allotted_tflop)

    def make(self, headroom: int) -> None:
        """Write one more report, whether or not it ever arrives."""
        envelope = self.host.report(headroom)
        self.sent.append(envelope)
        self.totals.append(self.host.allotted_tflop + self.host.unaccounted_tflop)
        self.made_ms[envelope.digest] = self.host.now_ms

    def take(self, answer: VerifiedAnswer) -> None:
        """Accept an answer as a gate does: not older than the last, of this run, in time."""
        quoted = self.host.quote.batch_number
        if answer.batch.batch_number <= quoted or answer.answer.run_nonce != self.host.run_nonce:
            return
        self.host.accept_verified(answer)
        for verdict in answer.answer.verdicts:
            if isinstance(verdict.outcome, Ceiling) and answer.answer.terms is not None:
                made_ms = self.made_ms[answer.answer.request_digest]
                self.ceiling = verdict.outcome.ceiling_tflop
                self.expires_ms = made_ms + answer.answer.terms.lifetime_ms

    def spend(self, share: int) -> None:
        """Compute some of what the live ceiling leaves."""
        left = self.live_ceiling - self.host.allotted_tflop
        self.host.allotted_tflop += left * share // 4

    def restart(self) -> None:
        """A new run: permission died with the old one."""
        self.host.run_nonce = bytes([self.host.run_nonce[0] + 1]) * 16
        self.ceiling, self.expires_ms = 0, -1


def hand_over(hosts: list[ModelHost], down: pb.LinkDown) -> list[VerifiedAnswer]:
    """An answer arrives. Nobody here is accused of anything."""
    assert {notice.reason for notice in down.notices} <= {"report.gap"}
    found = answers(down)
    for answer in found:
        owner = next(m for m in hosts if m.host.host_id == answer.answer.host_id)
        owner.take(answer)
    return found


def recorded(governor: LocalGovernor, model: ModelHost) -> int:
    """How many reports of a host are on record."""
    with governor.state.store.transaction() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT sequence FROM host WHERE host_id = ?", (model.host.host_id,)
            ).scalar_one()
        )
