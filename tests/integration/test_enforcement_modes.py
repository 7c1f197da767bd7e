"""What must hold whatever the mechanism: real processes, by cgroup and by signal."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.enforcement import FindingId, Mechanism, ProcessId, device_holders
from flopgate_agent.enforcement.processes import ProcFs
from tests.support.stage import Stage, until_complete
from tests.support.waiting import WAIT_S, until

FAMILY = (0, 1, 2, 3, 4)


@pytest.fixture(
    params=[pytest.param("cgroup", marks=pytest.mark.components), pytest.param("signal")]
)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, use_cgroups=request.param == "cgroup")
    try:
        yield made
    finally:
        made.close()


def test_a_spinner_stands_and_moves_on(stage: Stage) -> None:
    enforcer, victim, neighbour = stage.enforcer(), stage.start("spin"), stage.start("beat")
    frozen = until_complete(lambda: enforcer.freeze("lane-1", [victim.pid]))
    assert frozen.done == (victim.pid,)
    assert frozen.findings == ()
    wanted = Mechanism.CGROUP_OWN if stage.use_cgroups else Mechanism.SIGNAL
    assert frozen.mechanisms == (wanted,)
    assert enforcer.frozen_pids("lane-1") == (victim.pid,)
    victim.stands()
    neighbour.beats()
    assert enforcer.thaw("lane-1").done == (victim.pid,)
    assert enforcer.frozen_pids("lane-1") == ()
    victim.beats()


def test_a_whole_family_stands_orphans_and_other_sessions_included(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("family", *FAMILY)
    frozen = until_complete(lambda: enforcer.freeze("lane", [victim.pid]))
    assert set(frozen.done) == victim.living()
    assert len(frozen.done) == len(FAMILY)
    victim.stands(*FAMILY)
    thawed = until_complete(lambda: enforcer.thaw("lane"))
    assert set(thawed.done) == victim.living()
    victim.beats(*FAMILY)


def test_kill_leaves_nothing_of_a_family_and_spares_the_neighbour(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("family", *FAMILY)
    neighbour = stage.start("family", *FAMILY)
    everyone = victim.living()
    killed = until_complete(lambda: enforcer.kill("lane", [victim.pid]))
    assert set(killed.done) == everyone
    assert victim.living() == set()
    neighbour.beats(*FAMILY)


def test_kill_works_on_what_is_frozen_and_forgets_the_lane(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("family", *FAMILY)
    until_complete(lambda: enforcer.freeze("lane", [victim.pid]))
    everyone = victim.living()
    # Without pids: what is held is the lane.
    assert set(until_complete(lambda: enforcer.kill("lane", [])).done) == everyone
    assert victim.living() == set()
    assert stage.enforcer().adopt() == ()


def test_a_fork_storm_stands_and_moves_on(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("storm")
    until_complete(lambda: enforcer.freeze("lane", [victim.pid]))
    victim.stands()
    held = victim.living()
    assert set(until_complete(lambda: enforcer.freeze("lane", [])).done) == held
    until_complete(lambda: enforcer.thaw("lane"))
    victim.beats()
    until(lambda: bool(victim.living() - held), "the storm to fork again")


def test_kill_ends_a_fork_storm(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("storm")
    until_complete(lambda: enforcer.kill("lane", [victim.pid]))
    assert victim.living() == set()


def test_freeze_is_idempotent_and_takes_new_pids(stage: Stage) -> None:
    enforcer, first, second = stage.enforcer(), stage.start("beat"), stage.start("beat")
    until_complete(lambda: enforcer.freeze("lane", [first.pid]))
    again = until_complete(lambda: enforcer.freeze("lane", [first.pid]))
    assert again.done == (first.pid,)
    assert again.findings == ()
    both = until_complete(lambda: enforcer.freeze("lane", [second.pid]))
    assert set(both.done) == {first.pid, second.pid}
    first.stands()
    second.stands()
    until_complete(lambda: enforcer.thaw("lane"))
    first.beats()
    second.beats()


def test_a_stopped_lane_survives_a_restart_of_the_gate(stage: Stage) -> None:
    victim = stage.start("family", *FAMILY)
    until_complete(lambda: stage.enforcer().freeze("lane", [victim.pid]))
    successor = stage.enforcer()
    (adopted,) = successor.adopt()
    assert adopted.lane_id == "lane"
    assert set(adopted.pids) == set(adopted.standing) == victim.living()
    victim.stands(*FAMILY)
    until_complete(lambda: successor.thaw("lane"))
    victim.beats(*FAMILY)
    assert stage.enforcer().adopt() == ()


def test_the_record_forgets_the_dead(stage: Stage) -> None:
    enforcer, first, second = stage.enforcer(), stage.start("beat"), stage.start("beat")
    until_complete(lambda: enforcer.freeze("lane", [first.pid, second.pid]))
    first.process.kill()
    first.process.wait()
    until_complete(lambda: enforcer.freeze("lane", []))
    record = json.loads((stage.folder / "state" / "lane.lane.json").read_text())
    assert [pid for pid, _ in record["held"]] == [second.pid]


def test_a_lane_whose_processes_died_meanwhile_is_cleaned_up(stage: Stage) -> None:
    victim = stage.start("beat")
    until_complete(lambda: stage.enforcer().freeze("lane", [victim.pid]))
    victim.process.kill()
    victim.process.wait()
    assert stage.enforcer().adopt() == ()
    assert list((stage.folder / "state").iterdir()) == []


def test_two_lanes_do_not_release_each_other(stage: Stage) -> None:
    enforcer, shared, lone = stage.enforcer(), stage.start("beat"), stage.start("beat")
    until_complete(lambda: enforcer.freeze("a", [shared.pid, lone.pid]))
    until_complete(lambda: enforcer.freeze("b", [shared.pid]))
    until_complete(lambda: enforcer.thaw("a"))
    lone.beats()
    shared.stands()
    until_complete(lambda: enforcer.freeze("b", [shared.pid]))
    until_complete(lambda: enforcer.thaw("b"))
    shared.beats()


def test_a_reused_pid_is_left_alone(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    late = ProcessId(pid=victim.pid, start_ticks=1)
    for outcome in (enforcer.freeze("lane", [late]), enforcer.kill("lane", [late])):
        assert outcome.done == ()
        assert [finding.id for finding in outcome.findings] == [FindingId.PID_REUSED]
    victim.beats()
    exact = ProcFs().process(victim.pid)
    assert exact is not None
    until_complete(lambda: enforcer.freeze("lane", [exact.id]))
    victim.stands()


def test_the_gate_its_ancestors_init_and_protected_children_are_refused(stage: Stage) -> None:
    enforcer, sampler, victim = stage.enforcer(), stage.start("beat"), stage.start("beat")
    enforcer.protect([sampler.pid])
    kernel = {pid for pid, found in ProcFs().scan().items() if found.kernel}
    pids = {1, os.getpid(), os.getppid(), sampler.pid, *sorted(kernel)[:3]}
    frozen = until_complete(lambda: enforcer.freeze("lane", [*pids, victim.pid]))
    assert set(frozen.refused) == pids
    assert frozen.done == (victim.pid,)
    killed = until_complete(lambda: enforcer.kill("lane", [*pids, victim.pid]))
    assert set(killed.refused) == pids
    assert killed.done == (victim.pid,)
    sampler.beats()


def test_what_somebody_else_stopped_stays_stopped_after_a_thaw(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    os.kill(victim.pid, signal.SIGSTOP)
    until(lambda: ProcFs().standing(victim.pid), "the victim to stop")
    until_complete(lambda: enforcer.freeze("lane", [victim.pid]))
    until_complete(lambda: enforcer.thaw("lane"))
    victim.stands()
    os.kill(victim.pid, signal.SIGCONT)
    victim.beats()


def test_notify_reaches_listeners_and_does_not_kill_the_deaf(stage: Stage) -> None:
    enforcer, listener, deaf = stage.enforcer(), stage.start("listen"), stage.start("beat")
    outcome = enforcer.notify("lane", [listener.pid, deaf.pid], time_left_ms=120_000)
    assert outcome.done == (listener.pid,)
    until(lambda: listener.slot(1) == 1, "the signal to arrive")
    deaf.beats()
    notice = stage.folder / "state" / "lane.notice.json"
    assert b"deadline_boottime_ms" in notice.read_bytes()


def test_a_process_whose_main_thread_exited_is_no_zombie(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("headless")
    until(lambda: ProcFs().thread_states(victim.pid).startswith("Z"), "the main thread to exit")
    assert {who.pid for who in device_holders([f"{victim.file}*"]).holders} == {victim.pid}
    frozen = until_complete(lambda: enforcer.freeze("lane", [victim.pid]))
    assert frozen.done == (victim.pid,)
    victim.stands()
    until_complete(lambda: enforcer.thaw("lane"))
    victim.beats()
    killed = until_complete(lambda: enforcer.kill("lane", [victim.pid]))
    assert killed.done == (victim.pid,)
    assert victim.process.wait(WAIT_S) == -signal.SIGKILL


def test_thaw_and_kill_of_an_unknown_lane_do_nothing(stage: Stage) -> None:
    enforcer, neighbour = stage.enforcer(), stage.start("beat")
    for outcome in (enforcer.thaw("nobody"), enforcer.kill("nobody", [])):
        assert outcome.complete
        assert outcome.done == ()
    neighbour.beats()
    with pytest.raises(ValueError, match="lane id"):
        enforcer.thaw("../etc")


def test_holders_of_a_device_node_are_found(stage: Stage) -> None:
    victim, other = stage.start("beat"), stage.start("beat")
    # The mapped file's descriptor is duplicated by mmap and stays open: it plays the device.
    found = device_holders([f"{victim.file}*"])
    assert {who.pid for who in found.holders} == {victim.pid}
    assert other.pid not in {who.pid for who in found.holders}
    assert device_holders([]).holders == frozenset()
