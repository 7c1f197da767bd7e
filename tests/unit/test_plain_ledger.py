"""A simulated gate's ledger without a file is to the gate what the one on SQLite is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from flopgate_agent.gate.actions import (
    Keep,
    KeepEnrolment,
    KeepOrder,
    KeepQuote,
    KeepReport,
)
from flopgate_agent.ledger import IN_MEMORY, Ledger
from flopgate_agent.ledger_bounds import KEEP_ACKNOWLEDGED
from flopgate_proto.errors import HistoryError
from flopgate_sim.campaign.outcome import Job
from flopgate_sim.scenario import find
from flopgate_sim.world.from_scenario import TOUCHES_A_LEDGER, plan_of
from flopgate_sim.world.hosts.plain_ledger import PlainLedger
from flopgate_sim.world.nature.durable import Durable
from flopgate_sim.world.plan import Fault
from flopgate_sim.world.run import run_plan
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, running

KEEPS = (KeepReport, KeepOrder, KeepQuote, KeepEnrolment)


class Both:
    """Whatever is done to the one is done to the other, and must come to the same."""

    def __init__(self) -> None:
        self.real, self.plain = Ledger(IN_MEMORY), PlainLedger()

    def keep(self, action: Keep) -> bool:
        """Whether it was kept."""
        refused = []
        for ledger in (self.real, self.plain):
            try:
                ledger.keep(action)
            except HistoryError as error:
                refused.append((error.code, str(error)))
        assert len(set(refused)) == len(refused) // 2
        self.compare()
        return not refused

    def compare(self) -> None:
        memory = self.plain.load()
        assert memory == self.real.load()
        last = memory.last.report.sequence if memory.last else 0
        durable = self.plain.durable
        assert durable == Durable(
            sequence=last,
            asked=bool(memory.authorities),
            admitted=any(one.admitted for one in memory.authorities),
            orders=durable.orders,
        )
        # Those of an authority that is not known yet are kept as well.
        told = {order.envelope.digest for one in memory.authorities for order in one.orders}
        assert told <= durable.orders
        for first, most in ((0, 1), (1, 5), (3, 2), (max(1, last), 32)):
            assert self.plain.reports(first, most) == self.real.reports(first, most)


def kept(rig: GateRig) -> list[Keep]:
    return [one for one in rig.done(*KEEPS) if isinstance(one, KEEPS)]


def lived() -> GateRig:
    """A gate of two authorities that was paused, resumed and restarted."""
    first, second = GateAuthority("first.example"), GateAuthority("second.example")
    rig = running(first, second).run(150_000)
    pause = first.pause()
    rig.order(pause, first)
    rig.order(pause, first)
    rig.run(60_000)
    return rig.restart().run(200_000)


def test_what_a_gate_keeps_comes_back_the_same_after_each_thing() -> None:
    both, actions = Both(), kept(lived())
    assert {type(one) for one in actions} == set(KEEPS)
    assert all(both.keep(one) for one in actions)


@pytest.mark.parametrize("seed", range(5))
def test_in_any_order_the_same_is_kept_and_refused(seed: int) -> None:
    both, source, actions = Both(), random.Random(seed), kept(lived())
    done = [both.keep(source.choice(actions)) for _ in range(60)]
    assert any(done)


def test_the_same_reports_are_dropped_once_nobody_needs_them() -> None:
    both, actions = Both(), kept(running().run(30_000))
    report = next(one for one in actions if isinstance(one, KeepReport))
    quote = next(one for one in actions if isinstance(one, KeepQuote))
    for ledger in (both.real, both.plain):
        for sequence in range(1, KEEP_ACKNOWLEDGED + 40):
            digest = sequence.to_bytes(32, "big")
            ledger.keep(replace(report, sequence=sequence, digest=digest))
    for needless in (5, KEEP_ACKNOWLEDGED, KEEP_ACKNOWLEDGED + 1, KEEP_ACKNOWLEDGED + 30):
        kept_quote = replace(quote, needless_sequence=needless, held_sequence=needless)
        both.real.keep(kept_quote)
        both.plain.keep(kept_quote)
        for first, most in ((0, 3), (20, 40), (KEEP_ACKNOWLEDGED, 100)):
            assert both.plain.reports(first, most) == both.real.reports(first, most)


def test_worlds_with_either_go_the_same_way() -> None:
    plan = plan_of(find("quiet-128"), 1)
    name = plan.hosts[0].name
    plan = replace(
        plan,
        hosts=plan.hosts[:3],
        duration_ms=900_000,
        faults=(
            Fault(at_ms=300_000, kind="gate_crash", target=name, span_ms=5_000),
            Fault(at_ms=500_000, kind="host_reboot", target=name, span_ms=60_000),
        ),
    )
    assert all(host.plain_ledger for host in plan.hosts)
    hosts = tuple(replace(host, plain_ledger=False) for host in plan.hosts)
    with_files = replace(plan, hosts=hosts)
    job = Job(scenario=plan.name, seed=1)
    assert run_plan(plan, job).trace_digest == run_plan(with_files, job).trace_digest


def test_only_what_no_fault_touches_does_without_files() -> None:
    plan = plan_of(find("heaviest"), 1)
    touched = {one.target for one in plan.faults if one.kind in TOUCHES_A_LEDGER}
    files = {host.name for host in plan.hosts if not host.plain_ledger}
    assert files == touched - {*plan.authorities}
    assert 0 < len(files) < len(plan.hosts)
