"""Law 2 against any courier and any order of events: a naive model of what gates may have spent.

The model knows the truth: what each host really computed, and every ceiling that it ever accepted.
Messages are lost, doubled, delayed, reordered and answered late; gates restart. Whatever happens,
what was spent plus what may still be spent under accepted, live ceilings stays within the cap.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto.batches import VerifiedAnswer
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Ceiling
from tests.support.governor import (
    LIFETIME_MS,
    FakeHost,
    LocalGovernor,
    answers,
    cluster_policy,
    joined,
)

CAP = 900_000
HOSTS = 2


class ModelHost:
    """A gate with the truth about itself: its live ceiling, and what it signed."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.sent: list[Envelope] = []
        self.made_ms: dict[bytes, int] = {}
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


# Weighted: only where much is granted and little arrives can the cap come into danger.
ACTIONS = (
    *("trade", "half") * 2,
    *("ask", "send", "resend", "answer", "spend", "wait", "restart"),
)
STEP = st.tuples(
    st.sampled_from(ACTIONS),
    st.integers(0, HOSTS - 1),
    st.sampled_from([0, 0, 4, 4, 4, 1, 3]),
)


@settings(max_examples=150)
@given(st.lists(STEP, min_size=5, max_size=60))
def test_law_2_cap_is_never_exceeded(steps: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as folder:
        governor = LocalGovernor.make(Path(folder) / "g.sqlite", cluster_policy(CAP))
        hosts = [ModelHost(host) for host in joined(governor, HOSTS)]
        under_way: list[pb.LinkDown] = []
        for action, which, amount in steps:
            act(
                governor,
                hosts,
                which=which,
                action=action,
                amount=amount,
                under_way=under_way,
            )
            could_reach = sum(model.live_ceiling for model in hosts)
            assert could_reach <= CAP
        governor.state.store.close()


def act(
    governor: LocalGovernor,
    hosts: list[ModelHost],
    *,
    which: int,
    action: str,
    amount: int,
    under_way: list[pb.LinkDown],
) -> None:
    """One step of the world; time goes on for everybody alike."""
    model = hosts[which]
    match action:
        case "trade":
            model.make(300_000 * amount)
            deliver(governor, hosts, model.sent[recorded(governor, model) :])
        case "half":
            model.make(300_000 * amount)
            under_way.append(governor.send(*model.sent[recorded(governor, model) :]))
        case "ask":
            model.make(300_000 * amount)
        case "send" if model.sent:
            # What was sent before counts as lost or late: the courier sends from the gap on.
            known = recorded(governor, model)
            under_way.append(governor.send(*model.sent[known : known + 1 + amount]))
        case "resend" if model.sent:
            under_way.append(governor.send(model.sent[amount % len(model.sent)]))
        case "answer" if under_way:
            hand_over(hosts, under_way.pop(amount % len(under_way)))
        case "spend":
            model.spend(amount)
        case "wait":
            governor.clock.unix_ms += amount * LIFETIME_MS // 3
            for each in hosts:
                each.host.now_ms += amount * LIFETIME_MS // 3
        case "restart":
            model.restart()


def deliver(governor: LocalGovernor, hosts: list[ModelHost], envelopes: list[Envelope]) -> None:
    """An exchange without any trouble."""
    hand_over(hosts, governor.send(*envelopes))


def hand_over(hosts: list[ModelHost], down: pb.LinkDown) -> None:
    """An answer arrives. Nobody here cheats, so there are no accusations."""
    assert {notice.reason for notice in down.notices} <= {"report.gap"}
    for answer in answers(down):
        owner = next(m for m in hosts if m.host.host_id == answer.answer.host_id)
        owner.take(answer)


def recorded(governor: LocalGovernor, model: ModelHost) -> int:
    """How many reports of a host are on record."""
    with governor.state.store.transaction() as connection:
        return int(
            connection.exec_driver_sql(
                "SELECT sequence FROM host WHERE host_id = ?", (model.host.host_id,)
            ).scalar_one()
        )
