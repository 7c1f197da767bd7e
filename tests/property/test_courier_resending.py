"""Reports on their way: nothing stays missing, whatever is lost meanwhile."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_agent.courier.flow import ReportFlow
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.flowing import RESEND_MS, sequences, signed


class _World:
    """A gate, a flow and an authority in virtual time; bytes between them may be lost."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now_ms = 0
        self.ledger: list[pb.SignedReport] = []
        self.acknowledged = 0  # what the gate knows
        self.last = 0  # what the authority holds
        self.held_until_ms = 0
        self.pipe: list[pb.SignedReport] = []
        self.flow = ReportFlow(4000, RESEND_MS)
        self.asked(self.flow.start(0))

    def asked(self, sequence: int | None) -> None:
        if sequence is None:
            return
        first = sequence or self.acknowledged + 1
        for report in self.ledger[first - 1 :]:
            self.offer(report)

    def offer(self, report: pb.SignedReport) -> None:
        if len(self.pipe) < 10:  # the gate's buffer; beyond it frames are dropped
            self.pipe.append(report)

    def measure(self) -> None:
        report = signed(len(self.ledger) + 1, self.random.randrange(900))
        self.ledger.append(report)
        self.offer(report)

    def read(self) -> None:
        if self.pipe and not self.flow.full:
            report = self.pipe.pop(0)
            before = self.flow.held_bytes
            self.asked(self.flow.put(report, self.now_ms))
            assert self.flow.held_bytes <= max(before, 4000 + report.ByteSize())

    def deliver(self) -> None:
        found = sequences(self.flow.take())
        self.flow.written()
        assert not found or self.now_ms >= self.held_until_ms
        for sequence in found:
            if sequence > self.last + 1:
                self.asked(self.flow.expected(self.last + 1, self.now_ms))
            else:
                self.last = max(self.last, sequence)
                self.acknowledged = self.last

    def tick(self) -> None:
        self.now_ms += 200
        snapshot = pb.Snapshot(sequence=len(self.ledger), acknowledged_sequence=self.acknowledged)
        self.asked(self.flow.seen(snapshot, self.now_ms))
        self.asked(self.flow.handle_timer(self.now_ms))

    def lose_frame(self) -> None:
        if self.pipe:
            self.pipe.pop(self.random.randrange(len(self.pipe)))

    def lose_stream(self) -> None:
        self.flow.clear()
        self.asked(self.flow.start(self.now_ms))

    def hold_back(self) -> None:
        wait_ms = self.random.randint(1, 20_000)
        self.held_until_ms = self.now_ms + wait_ms
        self.flow.hold(self.last + 1, wait_ms, self.now_ms)

    def roll_back(self) -> None:
        self.last = self.random.randint(0, self.last)

    def step(self) -> None:
        weighted = [
            (self.measure, 6), (self.read, 12), (self.deliver, 8), (self.tick, 6),
            (self.lose_frame, 2), (self.lose_stream, 1), (self.roll_back, 1),
            (self.hold_back, 1),
        ]  # fmt: skip
        actions, weights = zip(*weighted, strict=True)
        self.random.choices(actions, weights)[0]()


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_everything_arrives_once_the_faults_end(seed: int) -> None:
    world = _World(seed)
    for _ in range(150):
        world.step()
    world.measure()  # without a word from the host a rolled back authority cannot know
    for _ in range(1500):
        world.tick()
        world.read()
        world.deliver()
        if world.last == len(world.ledger):
            break
    assert world.last == len(world.ledger)
