"""What a failed write voided is asked for again, each time (laws 8 and 9)."""

from __future__ import annotations

from dataclasses import replace

from flopgate_agent.gate.actions import Deny, Freeze, Keep, Kill, Move, Restore, Slow, Thaw
from flopgate_agent.gate.faults import LEDGER_FAILED
from flopgate_agent.gate_process.runner import GateRunner
from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import StorageError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState, Phase, PhaseRule, Scope, ScopeKind
from tests.support.fixed import GOVERNOR_UNIX_MS
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import START_MS, GateRig, cut, running
from tests.support.runner_parts import Hand, NoDoor

OBSERVE = (PhaseRule(scope=Scope(ScopeKind.EVERYTHING), phase=Phase.OBSERVE, from_unix_ms=0),)


class FullDisk:
    """Keeps nothing."""

    def keep(self, action: Keep) -> None:
        raise StorageError(f"no room for {action}", code="ledger.failed", remedy="Make room.")

    def reports(self, from_sequence: int, limit: int) -> list[tuple[int, pb.SignedReport]]:
        assert from_sequence <= limit
        return []


def take(rig: GateRig, order: Envelope) -> list[type[Move]]:
    """The disk is full; an order comes, and some looks. What was asked of the hand after it."""
    hand = Hand()
    runner = GateRunner(rig.core, FullDisk(), hand, NoDoor(), lambda: rig.now)
    runner.enter(rig.core.fault, LEDGER_FAILED, "full", "Make room.")
    hand.done.clear()
    runner.from_courier(1, pb.ToGate(order=pb.SignedOrder(envelope=envelope_to_wire(order))))
    for _ in range(20):
        rig.pass_time(rig.now_ms + 500)
        rig.core.asked(rig.now)
        runner.enter(rig.core.samples, rig.hardware.sample())
    return [type(action) for action in hand.done]


def test_what_was_stopped_on_a_full_disk_goes_on_where_a_policy_lets_it() -> None:
    authority = GateAuthority()
    begins_ms = 600_000
    observe = replace(OBSERVE[0], from_unix_ms=GOVERNOR_UNIX_MS + begins_ms)
    authority.policy_order(phases=(replace(observe, phase=Phase.ENFORCE, from_unix_ms=0), observe))
    rig = running(authority)
    rig.network = cut
    rig.run_until(LaneState.HALTED)
    rig.run(START_MS + begins_ms - 5_000 - rig.now_ms)
    done = take(rig, authority.delegation(serial=2))
    assert rig.state is LaneState.RUNNING
    assert done[-2:] == [Restore, Thaw]
    assert set(done[:-2]) <= {Deny, Slow, Freeze}, "held up to the date"


def test_law_8_what_ran_on_a_full_disk_is_frozen_where_a_policy_stops_it() -> None:
    authority = GateAuthority()
    authority.policy_order(version=3, phases=OBSERVE)
    rig = GateRig(authority)
    rig.hardware.start(pid=100, chip=0)
    rig.enrol().run(5_000)
    assert rig.state is LaneState.RUNNING
    done = take(rig, rig.authority.policy_order(version=9, phases=()))
    assert done.index(Freeze) < done.index(Kill)
