"""A host is taken out of service: it stands, says so last of all, and then nobody rules it."""

from __future__ import annotations

import pytest

from flopgate_agent.gate.actions import Notify, Restore, Thaw
from flopgate_agent.gate.carried import CarriedOver
from flopgate_agent.gate.carrying import kept_of
from flopgate_agent.gate.leasing import Leasing
from flopgate_agent.gate_process.runner import answered
from flopgate_agent.gate_process.snapshot import snapshot
from flopgate_proto.codec import PayloadType, decode_report
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState, Phase, PhaseRule, Report, Scope, ScopeKind
from tests.support.fixed import BOOT_ID, COURIER_KEY
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, at_once, cut, running
from tests.unit.test_gate_authorities import pair
from tests.unit.test_gate_seats import demote


def retire(rig: GateRig) -> GateRig:
    rig.carry_out(rig.core.retire(rig.now))
    return rig


def ended(rig: GateRig) -> GateRig:
    """Up to the last report, which nobody has heard of yet."""

    def but_the_last(_authority: GateAuthority, _report: Report) -> int | None:
        return None if rig.core.chain.ended else 10

    rig.network = but_the_last
    retire(rig)
    while not rig.core.chain.ended:
        rig.run(500)
    rig.network = cut
    return rig.run(1_000)


def state(rig: GateRig) -> str:
    return snapshot(rig.core).host_state


def acknowledge(rig: GateRig, authority: GateAuthority | None = None) -> None:
    authority = authority or rig.authority
    rig.answer(authority.answer(rig.reports[-1]), authority)


def test_law_1_it_stands_within_the_wind_down_and_then_ends_its_chain() -> None:
    rig = running()
    began_ms = rig.now_ms
    retire(rig)
    assert state(rig) == "retiring"
    assert rig.done(Notify)
    ended(rig)
    last = rig.reports[-1]
    assert last.payload_type == PayloadType.RETIREMENT
    assert [one.payload_type for one in rig.reports[:-1]] == [PayloadType.REPORT] * (
        len(rig.reports) - 1
    )
    report = decode_report(last.payload)
    assert report.request is None
    assert [lane.state for lane in report.lanes] == [LaneState.HALTED]
    assert report.lanes[0].stop_reason == "host.retiring"
    assert not rig.work_since(began_ms + rig.authority.policy.wind_down_ms + 2_000)
    assert rig.now_ms < began_ms + rig.authority.policy.lifetime_ms


def test_nothing_is_stopped_once_every_authority_knows() -> None:
    rig = ended(running())
    assert state(rig) == "retiring"
    assert rig.state is LaneState.HALTED
    acknowledge(rig)
    assert state(rig) == "retired"
    assert rig.done(Restore)[-1:]
    assert rig.done(Thaw)[-1:]
    (lane,) = snapshot(rig.core).lanes
    assert (lane.may_start, lane.stop_reason) == (True, "host.retired")
    sequence, now_ms = rig.core.chain.sequence, rig.now_ms
    rig.network = at_once
    rig.run(600_000)
    assert rig.core.chain.sequence == sequence, "the last report was the last"
    assert rig.work_since(now_ms), "its job goes on"
    assert rig.core.enrol(rig.authority.name, COURIER_KEY.spki, rig.now) == []


def test_until_then_nothing_runs_whoever_grants() -> None:
    rig = running()
    rig.run_until_request()
    asked = rig.reports[-1]
    ended(rig)
    stood_ms = rig.now_ms
    rig.answer(rig.authority.answer(asked))
    rig.run(10_000)
    assert rig.state is LaneState.HALTED
    assert not rig.work_since(stood_ms)
    assert kept_of(rig.core) == CarriedOver()


@pytest.mark.parametrize("boot_id", [None, bytes([9] * 16)])
def test_law_9_a_run_or_a_boot_later_it_still_waits_for_its_answer(boot_id: bytes | None) -> None:
    rig = ended(running())
    last = rig.reports[-1]
    rig.restart(boot_id=boot_id)
    rig.run(5_000)
    assert state(rig) == "retiring"
    assert rig.state is LaneState.HALTED
    assert rig.reports[-1] is last
    acknowledge(rig)
    assert state(rig) == "retired"
    rig.restart()
    assert state(rig) == "retired"
    assert rig.core.free.reason == "host.retired"
    rig.run(5_000)
    assert rig.reports[-1] is last


def test_a_restart_before_the_last_report_calls_it_off() -> None:
    rig = retire(running())
    rig.restart()
    rig.run_until(LaneState.RUNNING)
    assert state(rig) == "enrolled"


def test_a_boot_is_free_only_of_a_retired_host() -> None:
    rig = ended(running())
    terms = Leasing(()).terms(rig.core)
    assert terms is not None
    assert terms.lanes
    acknowledge(rig)
    terms = Leasing(()).terms(rig.core)
    assert terms is not None
    assert not terms.lanes


def test_a_mere_recipient_keeps_no_host_from_leaving() -> None:
    """Its pause stops nothing, and nobody waits for what it acknowledges."""
    home, world = pair()
    rig = running(home, world)
    demote(rig, world, home, world)
    rig.order(world.pause(), world)
    ended(rig)
    assert state(rig) == "retiring"
    acknowledge(rig, home)
    assert state(rig) == "retired"
    assert state(rig.restart()) == "retired"


def test_law_6_an_authority_with_a_say_keeps_it() -> None:
    home, world = pair()
    rig = ended(running(home, world))
    acknowledge(rig, home)
    assert state(rig) == "retiring"
    acknowledge(rig, world)
    assert state(rig) == "retired"


def test_law_6_a_paused_host_is_not_let_go() -> None:
    rig = running()
    rig.order(rig.authority.pause())
    rig.run_until(LaneState.HALTED)
    with pytest.raises(EnvironmentFault) as error:
        retire(rig)
    assert error.value.code == "retire.paused"
    assert state(rig) == "enrolled"


def test_law_6_a_pause_that_comes_meanwhile_holds_it() -> None:
    rig = ended(running())
    pause = rig.authority.pause()
    rig.order(pause)
    acknowledge(rig)
    rig.run(5_000)
    assert state(rig) == "retiring"
    assert rig.state is LaneState.HALTED
    rig.restart()
    assert state(rig) == "retiring"
    rig.order(rig.authority.resume(pause.digest))
    assert state(rig) == "retired"


def test_a_host_that_nobody_admitted_has_nobody_to_leave() -> None:
    rig = GateRig().run(2_000)
    with pytest.raises(EnvironmentFault) as error:
        retire(rig)
    assert error.value.code == "retire.unenrolled"


def test_every_authority_must_know() -> None:
    home, other = GateAuthority(), GateAuthority("other.example")
    rig = ended(running(home, other))
    acknowledge(rig, home)
    rig.run(2_000)
    assert state(rig) == "retiring"
    assert rig.state is LaneState.HALTED
    acknowledge(rig, other)
    assert state(rig) == "retired"


def test_it_stands_for_its_last_report_in_every_phase() -> None:
    authority = GateAuthority()
    everything = Scope(ScopeKind.EVERYTHING)
    authority.policy_order(
        phases=(PhaseRule(scope=everything, phase=Phase.OBSERVE, from_unix_ms=0),)
    )
    rig = GateRig(authority)
    rig.hardware.start(pid=100)
    rig.enrol().run(5_000)
    retire(rig).run(authority.policy.wind_down_ms + 5_000)
    assert rig.reports[-1].payload_type == PayloadType.RETIREMENT
    assert rig.last_report().lanes[0].state is LaneState.HALTED
    assert state(rig) == "retired"


def test_a_full_disk_lets_nothing_go() -> None:
    rig = running()
    retire(rig)
    rig.carry_out(rig.core.fault("ledger.failed", "full", "Make room.", rig.now))
    rig.run(20_000)
    assert not rig.core.chain.ended
    assert state(rig) == "retiring"
    assert rig.state is LaneState.HALTED


def test_asking_twice_changes_nothing() -> None:
    rig = retire(running())
    rig.run(1_000)
    left_ms = [one.left_ms for one in rig.done(Notify) if isinstance(one, Notify)]
    retire(rig).run(6_000)
    assert [one.left_ms for one in rig.done(Notify) if isinstance(one, Notify)] == left_ms
    assert state(rig) == "retired"
    retire_again: list[Report] = [decode_report(one.payload) for one in rig.reports[-1:]]
    retire(rig).run(1_000)
    assert [decode_report(one.payload) for one in rig.reports[-1:]] == retire_again
    assert rig.settings.boot_id == BOOT_ID


def test_without_a_process_nobody_is_waited_for() -> None:
    rig = GateRig()
    rig.enrol().run_until(LaneState.RUNNING)
    retire(rig).run(3_000)
    assert rig.authority.policy.wind_down_ms > 3_000
    assert state(rig) == "retired"


def test_who_may_ask_and_when_is_told() -> None:
    assert answered(None, pb.ToGate(retire=pb.Retire()), own=False).code == "door.rights"
    assert answered(None, pb.ToGate(retire=pb.Retire()), own=True).code == "door.starting"


def test_law_6_an_emergency_does_not_wait_for_the_wind_down_of_who_leaves() -> None:
    rig = retire(running()).run(1_000)
    assert rig.done(Notify)
    rig.order(rig.authority.pause(emergency=True))
    stopped_ms = rig.now_ms
    rig.run(4_000)
    assert rig.state is LaneState.HALTED
    assert not rig.work_since(stopped_ms + 2_000)
    assert state(rig) == "retiring"
