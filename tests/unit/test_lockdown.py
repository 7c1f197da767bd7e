"""The lease that a gate renews, and what is due when it does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.enforcement.processes import ProcessId
from flopgate_agent.gate.leasing import Leasing
from flopgate_agent.gate.terms import SILENT_MS_MIN, LaneTerm, Terms
from flopgate_agent.gate_process.lease_keeper import LeaseKeeper
from flopgate_agent.lockdown.deciding import NOTHING, Due
from flopgate_agent.lockdown.deciding import due as decide
from flopgate_agent.lockdown.lease import (
    ANY_BOOT,
    EVERY_CHIP,
    Lease,
    LeaseError,
    Reach,
    acting_lock,
    decode,
    encode,
    from_boot_on,
    read_lease,
    write_lease,
)
from flopgate_agent.lockdown.reading import UNREADABLE_MS, Reading
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import LaneState, Phase, PhaseRule, Scope, ScopeKind
from tests.support.fixed import WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import GateRig, cut, running

TERM = LaneTerm(workload="run-7", freeze_at_ms=5_000, kill_at_ms=6_000, still=False)
STILL = LaneTerm(workload="run-8", freeze_at_ms=7_000, kill_at_ms=7_000, still=True)
TERMS = Terms(renewed_ms=1_000, silent_ms=4_000, lanes=(TERM, STILL))
LEASE = Lease(
    boot_id="ab" * 16,
    gate=ProcessId(pid=12, start_ticks=345),
    terms=TERMS,
    records="/var/lib/flopgate-gate/enforcement",
    cgroup_base="flopgate-12345678",
    use_cgroups=True,
    device_filter=True,
    nodes=("/dev/nvidia[0-9]*",),
    reach=(
        Reach(workload="run-7", lane_id="ff00", globs=("/dev/nvidia0",), chips=("GPU-0",)),
        Reach(workload="run-8", lane_id="ff01", globs=("/dev/nvidia1",), chips=("GPU-1",)),
    ),
)


def terms_of(rig: GateRig, before: tuple[LaneTerm, ...] = ()) -> Terms:
    found = Leasing(before).terms(rig.core)
    assert found is not None
    return found


def stop_ms(rig: GateRig) -> int:
    return rig.authority.policy.drain_ms + rig.settings.enforcement_bound_ms


def due(
    now_ms: int, terms: Terms = TERMS, *, gate_lives: bool = False, unchanged_ms: int = 10**9
) -> Due:
    return decide(terms, now_ms, gate_lives=gate_lives, unchanged_ms=unchanged_ms)


def test_nothing_is_due_while_the_gate_lives_and_renews() -> None:
    assert due(4_999, gate_lives=True) == NOTHING


def test_a_gate_that_is_silent_for_too_long_is_ended() -> None:
    found = due(5_000, gate_lives=True)
    assert found.gate
    assert found.freeze == (TERM,)


def test_law_1_a_gate_that_hangs_outlives_no_lane() -> None:
    terms = replace(TERMS, silent_ms=60_000)
    assert due(5_999, terms, gate_lives=True) == NOTHING
    found = due(6_000, terms, gate_lives=True)
    assert found.gate
    assert found.kill == (TERM,)


def test_a_gate_that_hangs_is_left_while_all_stands_proven() -> None:
    terms = replace(TERMS, silent_ms=60_000, lanes=(STILL,))
    assert due(60_999, terms, gate_lives=True) == NOTHING
    assert due(61_000, terms, gate_lives=True).gate


def test_a_gate_that_wakes_from_a_suspend_with_the_lockdown_has_time_to_renew() -> None:
    assert due(10**9, gate_lives=True, unchanged_ms=SILENT_MS_MIN - 1) == NOTHING
    assert due(10**9, gate_lives=True, unchanged_ms=SILENT_MS_MIN).gate


def test_a_clock_set_back_is_the_gates_to_tell_while_it_lives() -> None:
    assert due(999, gate_lives=True, unchanged_ms=SILENT_MS_MIN - 1) == NOTHING
    assert due(999, gate_lives=True, unchanged_ms=SILENT_MS_MIN).kill == (TERM, STILL)


def test_each_lane_is_frozen_and_killed_at_its_moment() -> None:
    assert due(4_999) == NOTHING
    assert due(5_999).freeze == (TERM,)
    assert due(6_000).kill == (TERM,)
    assert due(7_000).kill == (TERM, STILL)
    assert due(7_000).freeze == ()


def test_law_8_a_clock_before_the_last_renewal_leaves_nothing_to_wait_for() -> None:
    assert due(999, unchanged_ms=0).kill == (TERM, STILL)


def test_a_host_without_lanes_to_stop_is_left_alone_and_so_is_its_gate() -> None:
    assert due(10**9, replace(TERMS, lanes=()), gate_lives=True) == NOTHING


def test_law_8_a_running_lane_stops_within_the_watchdog_time() -> None:
    rig = running()
    terms = terms_of(rig)
    (lane,) = terms.lanes
    policy = rig.authority.policy
    assert terms.renewed_ms == rig.core.elapsed_ms
    assert terms.silent_ms + stop_ms(rig) == policy.watchdog_ms
    assert lane.freeze_at_ms == terms.renewed_ms + terms.silent_ms
    assert lane.kill_at_ms == lane.freeze_at_ms + policy.drain_ms
    assert not lane.still


def test_law_1_a_running_lane_stops_within_its_lifetime() -> None:
    rig = running()
    rig.network = cut
    rig.run_until(LaneState.WINDING_DOWN)
    permit = rig.core.authorities[rig.authority.name].permit
    assert permit is not None
    until_ms = permit.made_ms + permit.lifetime_ms
    (lane,) = terms_of(rig).lanes
    assert lane.kill_at_ms + rig.settings.enforcement_bound_ms <= until_ms


def test_law_2_a_lane_stops_before_its_peak_would_pass_the_ceiling() -> None:
    authority = GateAuthority()
    authority.policy_order(watchdog_ms=3_600_000, lifetime_ms=3_600_000)
    rig = running(authority)
    lane = rig.lane
    allowed = rig.core.permissions[WORKLOAD]
    full_ms = lane.left_tflop(allowed) * 1000 // lane.peak_tflop_per_s  # type: ignore[arg-type]
    (term,) = terms_of(rig).lanes
    assert term.kill_at_ms <= rig.core.meter.covered_ms + full_ms


def test_a_short_watchdog_still_lets_a_gate_miss_a_renewal() -> None:
    authority = GateAuthority()
    authority.policy_order(watchdog_ms=1_000)
    assert terms_of(running(authority)).silent_ms == SILENT_MS_MIN


def test_law_8_a_lease_is_understood_whatever_spans_were_signed() -> None:
    authority = GateAuthority()
    rig = running(authority)
    rig.order(authority.policy_order(watchdog_ms=COUNT_MAX))
    for emergency in (False, True):
        if emergency:
            rig.order(authority.pause(emergency=True))
            rig.run_until(LaneState.HALTED)
        lease = replace(LEASE, terms=terms_of(rig))
        assert decode(encode(lease)) == lease


def test_moments_are_those_of_the_hosts_clock_also_when_it_was_set_back() -> None:
    rig = running()
    rig.core.fault("test", "", "", replace(rig.now, elapsed_ms=rig.now_ms - 100_000))
    terms = terms_of(rig)
    assert rig.core.behind_ms >= 100_000
    assert terms.renewed_ms < rig.now_ms
    assert terms.lanes[0].kill_at_ms < rig.now_ms


def test_a_lane_that_stands_proven_is_told_so() -> None:
    rig = running()
    rig.network = cut
    rig.run_until(LaneState.HALTED)
    (lane,) = terms_of(rig).lanes
    assert lane.still


def test_law_8_a_gate_that_comes_back_without_permission_owes_the_kill_of_before() -> None:
    rig = running()
    before = terms_of(rig).lanes
    rig.restart(away_ms=1_000)
    rig.network = cut
    rig.run(300)
    (lane,) = terms_of(rig, before).lanes
    assert lane.kill_at_ms <= before[0].kill_at_ms
    late = (replace(before[0], kill_at_ms=rig.now_ms - 50),)
    assert terms_of(rig, late).lanes[0].kill_at_ms == rig.now_ms - 50


def test_a_job_that_a_gate_holds_as_it_dies_has_the_drain_for_the_next_gate() -> None:
    rig = running()
    rig.network = cut
    rig.run_until(LaneState.HALTED)
    rig.hardware.start(pid=200)
    rig.run_until(LaneState.FROZEN)
    (term,) = terms_of(rig).lanes
    policy = rig.authority.policy
    assert term.kill_at_ms == rig.lane.since_ms + policy.drain_ms
    assert policy.drain_ms < policy.watchdog_ms


def test_what_was_owed_is_forgotten_once_a_lane_runs() -> None:
    rig = running()
    owed = (LaneTerm(workload=WORKLOAD, freeze_at_ms=1, kill_at_ms=1, still=False),)
    assert terms_of(rig, owed).lanes[0].kill_at_ms > rig.now_ms


def test_where_rules_do_not_bite_there_is_nothing_to_stop() -> None:
    authority = GateAuthority()
    rule = PhaseRule(scope=Scope(ScopeKind.EVERYTHING), phase=Phase.OBSERVE, from_unix_ms=0)
    authority.policy_order(phases=(rule,))
    assert terms_of(running(authority)).lanes == ()


def test_a_host_that_nobody_admitted_has_nothing_to_stop() -> None:
    rig = GateRig()
    rig.run(2_000)
    assert terms_of(rig).lanes == ()


def test_a_gate_that_has_not_stepped_yet_says_nothing() -> None:
    rig = running().restart()
    assert Leasing(()).terms(rig.core) is None


def test_a_gate_that_has_not_stepped_yet_lives_and_prolongs_nothing(tmp_path: Path) -> None:
    path, core = tmp_path / "gate.lease", running().restart().core
    write_lease(path, LEASE)
    with closing(LeaseKeeper(path, path.with_name("boot.lease"), LEASE.boot_id, 8_000)) as keeper:
        for now_ms in (8_000, 9_000):
            if now_ms > 8_000:
                keeper.renew(core, now_ms)
            found = read_lease(path, LEASE.boot_id)
            assert found is not None
            assert found.terms == replace(TERMS, renewed_ms=now_ms)
            assert found.gate.pid == os.getpid()


def test_law_8_an_admission_is_written_down_at_once_though_no_lane_moves(tmp_path: Path) -> None:
    path, rig = tmp_path / "gate.lease", GateRig()
    rig.hardware.start(pid=100, chip=0)
    rig.network = cut
    (lane,) = rig.run(5_000).core.lanes.values()
    with closing(LeaseKeeper(path, tmp_path / "boot.lease", LEASE.boot_id, 8_000)) as keeper:
        keeper.renew(rig.core, 9_000)
        assert not keeper.outdated(rig.core)
        rig.enrol()
        assert lane.state is LaneState.FROZEN, "as before"
        assert keeper.outdated(rig.core)
        keeper.renew(rig.core, 9_100)
        assert not keeper.outdated(rig.core)
    found = read_lease(path, LEASE.boot_id)
    assert found is not None
    assert [term.workload for term in found.terms.lanes] == [WORKLOAD]


def test_a_gate_that_was_kept_from_the_lock_takes_it_later(tmp_path: Path) -> None:
    path, core = tmp_path / "gate.lease", running().core
    with closing(acting_lock(path)) as hung:
        assert hung.take()
        keeper = LeaseKeeper(path, tmp_path / "boot.lease", LEASE.boot_id, 8_000)
        hung.release()
        with closing(keeper):
            keeper.renew(core, 9_000)
            assert not hung.take()


def test_law_8_a_lease_that_cannot_be_read_any_more_holds_as_it_was(tmp_path: Path) -> None:
    path, boot_path = tmp_path / "gate.lease", tmp_path / "boot.lease"
    write_lease(path, LEASE)
    reading = Reading(path, boot_path, LEASE.boot_id)
    assert reading.look(0, gate_lives=True) == LEASE
    path.write_bytes(encode(LEASE).replace(b'"version": 1', b'"version": 2'))
    assert reading.look(500, gate_lives=True) == LEASE
    assert reading.unchanged_ms == 0, "it was renewed, whatever it says"
    assert reading.look(1_000, gate_lives=True) == LEASE
    assert reading.unchanged_ms == 500
    path.unlink()
    assert reading.look(1_500, gate_lives=False) == LEASE


def test_law_8_a_lease_that_was_never_understood_gives_way_to_what_is_denied_from_a_boot_on(
    tmp_path: Path,
) -> None:
    path, boot_path = tmp_path / "gate.lease", tmp_path / "boot.lease"
    denied = from_boot_on(LEASE)
    write_lease(boot_path, denied)
    path.write_bytes(b"nonsense")
    reading = Reading(path, boot_path, LEASE.boot_id)
    assert reading.look(0, gate_lives=False) is None
    assert reading.look(UNREADABLE_MS - 1, gate_lives=False) is None, "time for a restart"
    assert reading.look(UNREADABLE_MS, gate_lives=False) == denied
    assert reading.look(UNREADABLE_MS, gate_lives=True) is None
    path.unlink()
    assert reading.look(UNREADABLE_MS + 500, gate_lives=False) == denied


@pytest.mark.parametrize("damage", [b"", b"nonsense", encode(LEASE)[:-5]])
def test_law_8_a_boot_lease_that_is_damaged_denies_every_chip(
    tmp_path: Path, damage: bytes
) -> None:
    boot_path = tmp_path / "boot.lease"
    reading = Reading(tmp_path / "gate.lease", boot_path, LEASE.boot_id)
    assert reading.look(0, gate_lives=False) is None, "without one nothing bit"
    boot_path.write_bytes(damage)
    denied = reading.look(500, gate_lives=False)
    assert denied is not None
    assert [one.chips for one in denied.reach] == [EVERY_CHIP]
    assert [one.workload for one in due(0, denied.terms).kill] == [denied.reach[0].workload]
    assert reading.look(1_000, gate_lives=True) is None, "a gate is there"


@pytest.mark.parametrize("bites", [True, False])
def test_a_gate_mends_a_boot_lease_that_is_damaged(tmp_path: Path, *, bites: bool) -> None:
    path, boot_path = tmp_path / "gate.lease", tmp_path / "boot.lease"
    boot_path.write_bytes(b"nonsense")
    core = running().core if bites else GateRig().run(5_000).core
    with closing(LeaseKeeper(path, boot_path, LEASE.boot_id, 8_000)) as keeper:
        keeper.renew(core, 9_000)
    assert (read_lease(boot_path, ANY_BOOT) is not None) == bites
    assert boot_path.exists() == bites


def test_a_lease_of_another_boot_is_none(tmp_path: Path) -> None:
    path = tmp_path / "gate.lease"
    write_lease(path, LEASE)
    reading = Reading(path, tmp_path / "boot.lease", "cd" * 16)
    assert reading.look(0, gate_lives=False) is None


@pytest.mark.parametrize("lay", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_lies_there_instead_of_a_lease_is_an_error_and_no_wait(
    tmp_path: Path, lay: Callable[[Path], None]
) -> None:
    lay(tmp_path / "gate.lease")
    with pytest.raises(LeaseError):
        read_lease(tmp_path / "gate.lease", LEASE.boot_id)


def test_a_lease_survives_its_file() -> None:
    assert decode(encode(LEASE)) == LEASE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"version": 1', b'"version": 2'),
        (b'"pid": 12', b'"pid": true'),
        (b'"lane_id": "ff00"', b'"lane_id": "../x"'),
        (b'"renewed_ms": 1000', b'"renewed_ms": -1'),
        (b'"freeze_at_ms": 5000', b'"freeze_at_ms": 5e3'),
        (b'"records": "/var', b'"records": "\\u0000'),
        (b'"globs": ["/dev/nvidia0"]', b'"globs": "/dev/nvidia0"'),
        (b'"terms": {', b'"terms": [], "t": {'),
    ],
)
def test_a_lease_that_is_not_understood_is_none(old: bytes, new: bytes) -> None:
    data = encode(LEASE)
    assert old in data
    with pytest.raises(LeaseError):
        decode(data.replace(old, new, 1))


@given(st.binary(max_size=300), st.integers(0, 800), st.binary(max_size=8))
def test_any_bytes_are_a_lease_or_our_error(noise: bytes, at: int, put: bytes) -> None:
    good = encode(LEASE)
    for data in (noise, good[:at] + put + good[at + len(put) :]):
        try:
            assert isinstance(decode(data), Lease)
        except LeaseError:
            continue
