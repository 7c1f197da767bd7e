"""A thief has an online key, and a courier that brings a gate what he signs with it."""

from __future__ import annotations

from collections.abc import Callable

from flopgate_proto.codec import decode_report, encode_answer, envelope_from_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.keys import SigningKey
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Ceiling, Phase, Policy, Terms, Verdict
from flopgate_sim.world.governors.forging import forged_answer, forged_batch


def made_by_thief(
    request: Envelope, key: SigningKey, policy: Policy, unix_ms: int
) -> pb.AnswerBatch:
    """All that was asked for, as far as officers let a key go, in a batch numbered by the time."""
    report = decode_report(request.payload)
    asked = () if report.request is None else report.request.lanes
    allotted = {lane.workload: lane.allotted_tflop for lane in report.lanes}
    verdicts = tuple(
        Verdict(
            workload=lane.workload,
            outcome=Ceiling(
                ceiling_tflop=allotted[lane.workload]
                + min(lane.headroom_tflop, policy.headroom_max_tflop)
            ),
        )
        for lane in asked
    )
    terms = Terms(
        lifetime_ms=policy.lifetime_ms,
        wind_down_ms=policy.wind_down_ms,
        renew_after_ms=policy.renew_after_ms,
        exempt=False,
        phase=Phase.ENFORCE,
    )
    answer = forged_answer(request, policy, unix_ms, verdicts, terms if verdicts else None)
    return forged_batch([encode_answer(answer)], policy.authority, unix_ms, key)


class Thieving:
    """Keeps reports from the authority, and answers them itself with what a thief signs.

    ``tried`` counts his answers. While no key is there that he may use, all goes its way.
    """

    def __init__(
        self,
        keys: Callable[[], list[SigningKey]],
        policy: Callable[[], Policy],
        unix_ms: Callable[[], int],
        bring: Callable[[pb.ToGate], None],
    ) -> None:
        self.tried = 0
        self._keys = keys
        self._policy = policy
        self._unix_ms = unix_ms
        self._bring = bring

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """Reports go no further where he can answer them."""
        keys = self._keys()
        if not keys or not message.reports:
            return message
        for report in message.reports:
            self.tried += 1
            request = envelope_from_wire(report.envelope)
            answers = made_by_thief(request, keys[-1], self._policy(), self._unix_ms())
            self._bring(pb.ToGate(answers=answers))
        return None

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """As it is."""
        return [message]


class Renumbering:
    """Signs what the authority answers once more, as a batch far beyond all that will come.

    ``tried`` counts his answers. He grants no more than was granted.
    """

    def __init__(self, key: SigningKey, authority: str, number: int) -> None:
        self.tried = 0
        self._key = key
        self._authority = authority
        self._number = number

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """As it is."""
        return message

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """His answers in the place of the authority's."""
        if not message.HasField("answers"):
            return [message]
        payloads = []
        for leaf in message.answers.answers:
            answer = pb.Answer.FromString(leaf.payload)
            answer.governor_unix_ms += 1
            payloads.append(answer.SerializeToString(deterministic=True))
        self.tried += len(payloads)
        self._number += 1
        batch = forged_batch(payloads, self._authority, self._number, self._key)
        return [pb.ToGate(answers=batch)]


class SecondHistory:
    """An authority that shows a host its answers in a row of batches of its own.

    ``tried`` counts these batches. Every answer is what it was, under the same number.
    """

    def __init__(self, key: SigningKey, authority: str) -> None:
        self.tried = 0
        self._key = key
        self._authority = authority
        self._before = b""

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """As it is."""
        return message

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """Under another root, which follows the one before in this row."""
        if not message.HasField("answers"):
            return [message]
        true = pb.BatchRoot.FromString(message.answers.batch_root.payload)
        batch = forged_batch(
            [leaf.payload for leaf in message.answers.answers],
            self._authority,
            true.batch_number,
            self._key,
            # The rows part where this one begins.
            previous=self._before or true.previous,
            policy_digest=true.policy_digest,
        )
        self._before = envelope_from_wire(batch.batch_root).digest
        self.tried += 1
        return [pb.ToGate(answers=batch)]
