"""Law 2 between both sides: what a gate books as allotted was outstanding at every authority.

A real gate core reports to authorities that keep the governor's own escrow. Answers are late or
lost, officers pause and resume, budgets shrink: no report may add more to the allotted book than
the grants that its authority still holds outstanding.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_governor.core import account
from flopgate_governor.core.facts import Grant, IssuedAnswer, LaneFacts
from flopgate_governor.core.quotes import QuoteRead, own_quote
from flopgate_proto.envelope import Envelope
from flopgate_proto.values import Answer, Ceiling, Refusal, Report, Verdict
from tests.support.fixed import WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "run",
                "run",
                "stall",
                "pause",
                "emergency",
                "resume",
                "refuse",
                "grant",
                "late",
                "lost",
                "net",
            )
        ),
        st.integers(0, 1),
        st.integers(1, 24_000),
    ),
    min_size=1,
    max_size=16,
)
REFUSED = Verdict(
    workload=WORKLOAD, outcome=Refusal(reason="budget.spent", detail="spent", way_back="Ask.")
)


class Escrow(GateAuthority):
    """An authority that keeps what it granted as the governor does."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.facts = LaneFacts(workload=WORKLOAD)
        self.delay_ms: int | None = 10
        self.headroom_tflop: int | None = None
        self.latched: list[bytes] = []

    def take(self, report: Report) -> None:
        """A report goes on record: what it adds must be covered before it releases anything."""
        lane = report.lanes[0]
        ceilings = [grant.held_tflop for grant in self.facts.grants]
        assert lane.allotted_tflop <= max(ceilings, default=0) or (
            lane.allotted_tflop == self.facts.allotted_tflop
        )
        quote = own_quote(report, self.name)
        read = QuoteRead(answer=IssuedAnswer(), grant=quote.grant if quote else b"")
        written = account.write_books(self.facts, lane)
        self.facts = account.settle(written, report, read, drift_ppm=500)

    def answer_to(self, report: Envelope, **fields: Any) -> Answer:
        """The answer, its ceiling in escrow before it leaves."""
        if self.headroom_tflop is not None:
            self.ceiling_tflop = self.facts.allotted_tflop + self.headroom_tflop
        answer = super().answer_to(report, **fields)
        for verdict in answer.verdicts:
            if isinstance(verdict.outcome, Ceiling) and answer.terms is not None:
                grant = Grant(
                    request_digest=report.digest,
                    sequence=answer.acknowledged_sequence,
                    made_ms=self.made_ms,
                    run_nonce=answer.run_nonce,
                    lifetime_ms=answer.terms.lifetime_ms,
                    held_tflop=verdict.outcome.ceiling_tflop,
                    governor_unix_ms=answer.governor_unix_ms,
                )
                self.facts = account.give(self.facts, grant)
        return answer

    made_ms = 0


def network(authority: GateAuthority, report: Report) -> int | None:
    """Each authority sees every report; its answer may be late or lost."""
    assert isinstance(authority, Escrow)
    authority.take(report)
    authority.made_ms = report.made_ms
    return authority.delay_ms


def do(rig: GateRig, authority: Escrow, step: str, amount: int) -> None:
    """One thing that happens."""
    match step:
        case "pause" | "emergency":
            order = authority.pause(emergency=step == "emergency")
            authority.latched.append(order.digest)
            rig.order(order, authority)
        case "resume":
            if authority.latched:
                rig.order(authority.resume(*authority.latched), authority)
                authority.latched.clear()
        case "stall":
            rig.pass_time(rig.now_ms + amount)
        case "refuse":
            authority.refuses = {} if authority.refuses else {WORKLOAD: REFUSED}
        case "grant":
            authority.headroom_tflop = amount if amount % 3 else None
            authority.ceiling_tflop = None
        case "late":
            authority.delay_ms = amount
        case "lost":
            authority.delay_ms = None
        case "net":
            authority.delay_ms = 10
        case _:
            rig.run(amount)


@settings(max_examples=120)
@given(steps=STEPS, count=st.integers(1, 2), drain_ms=st.sampled_from((20, 1_500, None)))
def test_law_2_what_a_report_adds_to_the_allotted_book_was_outstanding(
    steps: list[tuple[str, int, int]], count: int, drain_ms: int | None
) -> None:
    authorities = [Escrow("home.example"), Escrow("world.example")][:count]
    rig = GateRig(*authorities, network=network)
    rig.hardware.start(pid=1, drain_ms=drain_ms)
    rig.enrol().run(1_500)
    for step, which, amount in steps:
        do(rig, authorities[which % count], step, amount)
        rig.run(700)
    rig.run(30_000)
