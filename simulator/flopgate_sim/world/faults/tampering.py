"""Couriers whose operator bent them: they may drop, repeat, delay and forge whatever they carry."""

from __future__ import annotations

import random
from collections import deque

from flopgate_proto.codec import PayloadType, envelope_to_wire
from flopgate_proto.envelope import seal
from flopgate_proto.keys import SigningKey
from flopgate_proto.limits import DIGEST_BYTES
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.world.nature.engine import US_PER_S, Engine
from flopgate_sim.world.nature.randomness import happens

PLAYED_AGAIN = 64
"""Newest messages that can be played again."""
LIES_MS = 86_400_000, 200 * 86_400_000
"""By how much the quoted numbers, which are times, lie ahead: no loss reaches so far here."""
KEPT_US = 300 * US_PER_S
"""Between two reports that are handed in one by one: within the life of a permit."""


class Replaying:
    """Drops, repeats and reorders at will; plays old answers and orders again.

    ``tried`` counts what was dropped or played again.
    """

    def __init__(self, source: random.Random, drops_percent: int = 20) -> None:
        self.tried = 0
        self._drops_percent = drops_percent
        self._source = source
        self._kept: deque[pb.ToGate] = deque(maxlen=PLAYED_AGAIN)

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """Some are dropped."""
        if not happens(self._source, self._drops_percent):
            return message
        self.tried += 1
        return None

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """Some are kept back, some come twice, old ones come again."""
        self._kept.append(message)
        messages = [] if happens(self._source, self._drops_percent) else [message]
        self.tried += not messages
        while happens(self._source, 40):
            self.tried += 1
            messages.append(self._source.choice(self._kept))
        self._source.shuffle(messages)
        return messages


class Keeping:
    """Hands in reports one by one, the oldest first, and brings the gate nothing.

    ``tried`` counts what it kept back.
    """

    def __init__(self, engine: Engine) -> None:
        self.tried = 0
        self._engine = engine
        self._next_us = self._sequence = 0

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """The next report, now and then."""
        if not message.reports:
            return message
        self.tried += 1
        for report in message.reports if self._engine.now_us >= self._next_us else ():
            sequence = pb.Report.FromString(report.envelope.payload).sequence
            if self._sequence in {0, sequence - 1}:
                self._next_us, self._sequence = self._engine.now_us + KEPT_US, sequence
                return pb.LinkUp(reports=[report])
        return None

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """All but the questions of the courier itself."""
        return [] if message.HasField("answers") or message.HasField("order") else [message]


class Loosening:
    """Brings the newest policy alone, in force or not, so that a host that joins knows no other.

    ``tried`` counts what it kept back.
    """

    def __init__(self) -> None:
        self.tried = 0

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """As it is."""
        return message

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """Of the orders beside an admission, no policy but the newest."""
        orders = list(message.admission.orders)
        newest = max((_version(one) for one in orders), default=0)
        kept = [one for one in orders if _version(one) in {0, newest}]
        if kept == orders:
            return [message]
        self.tried += len(orders) - len(kept)
        bent = pb.ToGate()
        bent.CopyFrom(message)
        del bent.admission.orders[:]
        bent.admission.orders.extend(kept)
        return [bent]


def _version(order: pb.SignedOrder) -> int:
    """Of a policy; 0 of any other order."""
    if order.envelope.payload_type != PayloadType.POLICY:
        return 0
    return pb.Policy.FromString(order.envelope.payload).version


class Unrooting:
    """Drops the roots beside reports, and carries all else.

    ``tried`` counts those that it dropped.
    """

    def __init__(self) -> None:
        self.tried = 0

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """Bare reports."""
        bare = pb.LinkUp()
        bare.CopyFrom(message)
        for report in bare.reports:
            self.tried += len(report.quoted_roots)
            del report.quoted_roots[:]
        return bare

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """As it is."""
        return [message]


class Lying:
    """Quotes answers that nobody ever gave, under its host's own key.

    Beside them goes nothing, a true root, or one made up for the quoted number: in all but the
    signature as the authority makes them. Some stand where the chain has not come yet.
    ``tried`` counts lies. They quote ``number``, by default one that is far ahead.
    """

    def __init__(self, source: random.Random, key: SigningKey, number: int | None = None) -> None:
        self.tried = 0
        self._number = number
        self._source = source
        self._key = key

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """The same reports, signed anew over other quotes."""
        lies = pb.LinkUp()
        lies.CopyFrom(message)
        for signed in lies.reports:
            report = pb.Report.FromString(signed.envelope.payload)
            # Nobody looks at what it quotes of others: changed alone, it would be another history.
            origins = {pb.BatchRoot.FromString(one.payload).origin for one in signed.quoted_roots}
            for quote in report.quotes:
                if quote.answer_digest and quote.authority in origins:
                    self.tried += 1
                    quote.answer_digest = self._source.randbytes(DIGEST_BYTES)
                    ahead = self._source.randint(*LIES_MS)
                    quote.batch_number = self._number or quote.batch_number + ahead
                    self._make_up(signed, quote.batch_number)
            report.sequence += happens(self._source, 50)
            payload = report.SerializeToString(deterministic=True)
            lie = seal(signed.envelope.payload_type, payload, [self._key])
            signed.envelope.CopyFrom(envelope_to_wire(lie))
        return lies

    def _make_up(self, signed: pb.SignedReport, number: int) -> None:
        (root,) = signed.quoted_roots
        if happens(self._source, 30):
            del signed.quoted_roots[:]
        elif happens(self._source, 70):
            batch = pb.BatchRoot.FromString(root.payload)
            batch.batch_number = number
            root.payload = batch.SerializeToString(deterministic=True)

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """As it is."""
        return [message]


class Forging:
    """Changes answers, makes up acknowledgements, and mixes the parts of what it saw.

    ``tried`` counts forged messages, in both directions.
    """

    def __init__(self, source: random.Random) -> None:
        self.tried = 0
        self._source = source
        self._roots: deque[pb.Envelope] = deque(maxlen=PLAYED_AGAIN)

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """Now and then a byte of a report changes, or what travels beside it."""
        if not happens(self._source, 20):
            return message
        self.tried += 1
        forged = pb.LinkUp()
        forged.CopyFrom(message)
        for report in forged.reports:
            if report.quoted_roots and happens(self._source, 50):
                self._unprove(report.quoted_roots[0])
            else:
                report.envelope.payload = self._bent(report.envelope.payload)
        return forged

    def _unprove(self, root: pb.Envelope) -> None:
        """Another root, or one that nobody signed."""
        if self._roots and happens(self._source, 50):
            root.CopyFrom(self._source.choice(self._roots))
        elif happens(self._source, 50):
            root.payload = self._bent(root.payload)
        else:
            root.signatures[0].sig = self._bent(root.signatures[0].sig)

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """Beside each answer a forged one."""
        if not message.HasField("answers"):
            return [message]
        self.tried += 1
        forged = pb.ToGate()
        forged.CopyFrom(message)
        batch = forged.answers
        self._roots.append(message.answers.batch_root)
        for leaf in batch.answers:
            leaf.payload = self._better(leaf.payload)
        if happens(self._source, 30):
            batch.batch_root.CopyFrom(self._source.choice(self._roots))
        if happens(self._source, 30):
            batch.batch_root.signatures[0].sig = self._bent(batch.batch_root.signatures[0].sig)
        return [forged, message] if happens(self._source, 50) else [message, forged]

    def _better(self, payload: bytes) -> bytes:
        """What the operator would like to have been answered."""
        answer = pb.Answer.FromString(payload)
        if happens(self._source, 50):
            answer.acknowledged_sequence += self._source.randrange(1, 1000)
        for verdict in answer.verdicts:
            verdict.ceiling.ceiling_tflop += 10**6
        if answer.HasField("terms"):
            answer.terms.lifetime_ms *= 10
        return answer.SerializeToString(deterministic=True)

    def _bent(self, data: bytes) -> bytes:
        if not data:
            return data
        place = self._source.randrange(len(data))
        return (
            data[:place]
            + bytes([data[place] ^ (1 << self._source.randrange(8))])
            + data[place + 1 :]
        )
