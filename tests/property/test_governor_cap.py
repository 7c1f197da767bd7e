"""Law 2 against any courier and any order of events: a naive model of what gates may have spent.

The model knows the truth: what each host really computed, and every ceiling that it ever accepted.
Messages are lost, doubled, delayed, reordered and answered late; gates restart. Whatever happens,
what was spent plus what may still be spent under accepted, live ceilings stays within the cap.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from tests.support.governor import LIFETIME_MS, LocalGovernor, cluster_policy, joined
from tests.support.governor_model import ModelHost, hand_over, recorded

CAP = 900_000
HOSTS = 2


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
