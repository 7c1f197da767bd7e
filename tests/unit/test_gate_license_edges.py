"""Licenses at the edges of a gate's life: its stop, its lease, another key, several authorities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flopgate_agent.gate.leasing import Leasing
from flopgate_agent.gate.settings import LaneSetting
from flopgate_agent.gate_process.runner import OWNERS, GateRunner, answered
from flopgate_proto.errors import EnvironmentFault, HistoryError, PeerError
from flopgate_proto.keys import SigningKey, key_digest
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values.common import LaneState
from tests.support import further_orders, orders
from tests.support.fixed import OFFICER_KEYS, WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_license_rig import LICENSES, SPAN_MS, STEP_MS, LicenseRig, approve, issue
from tests.support.runner_parts import Hand, NoDoor


@pytest.fixture
def rig(tmp_path: Path) -> LicenseRig:
    return LicenseRig(tmp_path)


def reason(rig: LicenseRig) -> str:
    """Why the lane stands."""
    return "" if rig.lane.why is None else rig.lane.why.reason


def test_a_clean_stop_gives_back_what_was_not_used(rig: LicenseRig) -> None:
    rig.licensed(headroom_tflop=500_000)
    rig.run(20_000)
    rig.carry_out(rig.core.fault("gate.stopped", "told to stop", "Start it again.", rig.now))
    rig.run(15_000)
    desk = rig.core.authorities[rig.authority.name].desk
    end_tflop, used_ms = desk.bound_tflop(WORKLOAD, reserved=False), desk.used_ms
    rig.carry_out(rig.core.settle_reserved(rig.now))
    rig.again(boot=True)
    desk = rig.core.authorities[rig.authority.name].desk
    assert desk.bound_tflop(WORKLOAD, reserved=False) == end_tflop
    assert desk.used_ms == used_ms


def test_each_authority_that_rules_must_give_one(tmp_path: Path) -> None:
    world = GateAuthority("world.example")
    rig = LicenseRig(tmp_path, world)
    home = rig.authority
    rig.order(world.policy_order(**LICENSES), world)
    request = rig.request()
    rig.install(issue(home, request))
    rig.run(5_000)
    assert rig.state is LaneState.HALTED
    assert rig.lane.why is not None
    assert rig.lane.why.authority == world.name
    assert rig.core.authorities[home.name].desk.standing.used_ms == 0, "nothing is reserved"
    approval = approve(request, authority=world.name)
    rig.install(issue(world, request, approval=approval, headroom_tflop=150_000))
    before_tflop = rig.truth_tflop
    rig.run_until(LaneState.RUNNING)
    rig.run(SPAN_MS)
    assert rig.truth_tflop - before_tflop <= 150_000
    assert reason(rig) == "license.used-up"
    assert rig.lane.why.authority == world.name


def test_under_another_host_key_nothing_is_known_of_licenses_and_nothing_runs(
    rig: LicenseRig,
) -> None:
    found = rig.licensed()
    other = SigningKey.from_scalar(0x8001)
    fields: dict[str, Any] = {
        "signer": other,
        "host_spki": other.spki,
        "host_id": key_digest(other.spki),
    }
    rig.settings = replace(rig.settings, **fields)
    rig.again()
    since_ms = rig.now_ms
    rig.run(20_000)
    assert reason(rig) == "key.replaced"
    assert not rig.work_since(since_ms + 5_000)
    with pytest.raises(EnvironmentFault) as error:
        rig.install(found)
    assert error.value.code == "license.no-report"


def test_without_its_gate_a_licensed_lane_ends_with_what_is_reserved(rig: LicenseRig) -> None:
    rig.order(rig.authority.policy_order(**(LICENSES | {"watchdog_ms": 10 * SPAN_MS})))
    rig.licensed(headroom_tflop=10**6)
    rig.run(20_000)
    terms = Leasing(()).terms(rig.core)
    assert terms is not None
    (term,) = terms.lanes
    desk = rig.core.authorities[rig.authority.name].desk
    left_ms = desk.left_ms(
        rig.core.authorities[rig.authority.name].told_time, rig.now_ms, reserved=True
    )
    assert term.kill_at_ms < rig.now_ms + left_ms <= rig.now_ms + STEP_MS
    bound_tflop = desk.bound_tflop(WORKLOAD, reserved=True)
    assert bound_tflop is not None
    left_tflop = bound_tflop - rig.lane.book.allotted_tflop
    worst_ms = left_tflop * 1000 // rig.lane.peak_tflop_per_s
    assert term.kill_at_ms <= rig.core.meter.covered_ms + worst_ms


@pytest.mark.parametrize("kind", OWNERS)
def test_only_the_hosts_own_people_are_heard_and_once_the_gate_is_up(kind: str) -> None:
    message = pb.ToGate()
    getattr(message, kind).SetInParent()
    assert answered(None, message, own=False).code == "door.rights"
    assert answered(None, message, own=True).code == "door.starting"


@pytest.mark.parametrize(
    "message",
    [
        pb.ToGate(ask_license=pb.AskLicense()),
        pb.ToGate(license=pb.HostLicense()),
        pb.ToGate(license=pb.HostLicense(answer=pb.AnswerBatch(answers=[pb.AnswerLeaf()]))),
        pb.ToGate(return_license=pb.ReturnLicense(authority="nobody.example")),
        pb.ToGate(open_reserve=pb.OpenReserve()),
        pb.ToGate(tell_time=pb.TellTime()),
    ],
)
def test_what_is_malformed_gets_one_reply_and_changes_nothing(
    rig: LicenseRig, message: pb.ToGate
) -> None:
    row, made = rig.ledger.load().licenses, len(rig.reports)
    said: list[PeerError] = []
    runner = GateRunner(
        rig.core, rig.ledger, Hand(), NoDoor(), lambda: rig.now, refused=said.append
    )
    reply = runner.from_owner(message)
    assert reply.code
    assert reply.detail
    assert [one.code for one in said] == [reply.code]
    assert rig.ledger.load().licenses == row
    assert len(rig.reports) == made


def test_a_license_bounds_the_pace_chips_put_into_its_lane_do_not_run_by_it(
    tmp_path: Path,
) -> None:
    apart = (LaneSetting(workload=WORKLOAD, chips=(0,)), LaneSetting(workload="other", chips=(1,)))
    rig = LicenseRig(tmp_path, lanes=apart)
    rig.licensed(headroom_tflop=2_000_000)
    rig.run_until(LaneState.RUNNING)
    rig.run(15_000)
    together = (LaneSetting(workload=WORKLOAD, chips=(0, 1)),)
    rig.settings = replace(rig.settings, lanes=together)
    rig.again()
    rig.run(40_000)
    assert rig.state is LaneState.HALTED
    assert reason(rig) == "license.outgrown"
    assert rig.lane.why is not None
    assert "gate.toml" in rig.lane.why.way_back
    # What was there before runs on, once they are taken out again; and what is asked for anew.
    for lanes in (apart, together):
        rig.settings = replace(rig.settings, lanes=lanes)
        rig.again()
        if lanes is together:
            rig.licensed(headroom_tflop=2_000_000)
        rig.run_until(LaneState.RUNNING)


def test_a_lane_that_lost_chips_runs_on_by_its_license(tmp_path: Path) -> None:
    rig = LicenseRig(tmp_path, lanes=(LaneSetting(workload=WORKLOAD, chips=(0, 1)),))
    rig.licensed(headroom_tflop=2_000_000)
    rig.run_until(LaneState.RUNNING)
    lanes = (LaneSetting(workload=WORKLOAD, chips=(0,)), LaneSetting(workload="other", chips=(1,)))
    rig.settings = replace(rig.settings, lanes=lanes)
    rig.again()
    rig.run_until(LaneState.RUNNING)


def test_law_6_a_license_whose_approval_an_officer_vetoed_is_not_taken(rig: LicenseRig) -> None:
    request = rig.request()
    approval = approve(request)
    veto = further_orders.veto(order_digest=approval.digest)
    rig.order(orders.sealed_order(veto, OFFICER_KEYS[2:]))
    for start in (False, True):
        if start:
            rig.again()
        with pytest.raises(HistoryError, match=r"order\.vetoed"):
            rig.install(issue(rig.authority, request, approval=approval))
    assert rig.state is not LaneState.RUNNING
    # Another approval of the same request holds.
    another = approve(request, reason="looked into")
    rig.install(issue(rig.authority, request, approval=another))
    rig.run_until(LaneState.RUNNING)


def test_a_veto_ends_no_license_that_was_taken(rig: LicenseRig) -> None:
    found = rig.licensed()
    rig.run_until(LaneState.RUNNING)
    veto = further_orders.veto(order_digest=found.approval.digest)
    rig.order(orders.sealed_order(veto, OFFICER_KEYS[2:]))
    rig.again()
    rig.run_until(LaneState.RUNNING)
