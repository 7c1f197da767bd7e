"""Freezing by cgroup v2 as root, beside the jobs of a scheduler that must not notice."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.enforcement import Enforcer, FindingId, Mechanism, Outcome
from flopgate_agent.enforcement.calls import Notes, Tools
from flopgate_agent.enforcement.cgroups import Cgroup, Hierarchy
from flopgate_agent.enforcement.lanes import Journal
from flopgate_agent.enforcement.moves import move_into, own_cgroup
from flopgate_agent.enforcement.processes import ProcessId, ProcFs
from flopgate_agent.enforcement.signals import Signaller
from tests.support.stage import Stage, mount, until_complete
from tests.support.waiting import until

pytestmark = pytest.mark.components

NOBODY = 65534


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, use_cgroups=True)
    try:
        yield made
    finally:
        made.close()


def own(stage: Stage, lane_id: str = "lane") -> Cgroup:
    return stage.lane(lane_id)


def freeze(enforcer: Enforcer, *pids: int) -> Outcome:
    return until_complete(lambda: enforcer.freeze("lane", pids))


def thaw(enforcer: Enforcer) -> Outcome:
    return until_complete(lambda: enforcer.thaw("lane"))


def ids(outcome: Outcome) -> set[FindingId]:
    return {finding.id for finding in outcome.findings}


def test_capabilities_are_tried_out(stage: Stage) -> None:
    capabilities = stage.enforcer().capabilities
    assert capabilities.cgroup_mount == mount()
    assert capabilities.why_no_cgroup is None
    assert capabilities.cgroup_kill == (Path(stage.job().path) / "cgroup.kill").exists()
    assert not (Path(mount()) / stage.cgroup_base).exists(), "nothing is left of the trial"
    assert capabilities.pidfd


def test_a_job_of_lane_members_only_is_frozen_where_it_is(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    job = stage.job(victim)
    frozen = freeze(enforcer, victim.pid)
    assert frozen.mechanisms == (Mechanism.CGROUP_IN_PLACE,)
    assert victim.pid in job.pids()
    assert job.frozen()
    assert not own(stage).exists()
    assert thaw(enforcer).done == (victim.pid,)
    assert not job.freeze_asked()
    victim.beats()


def test_a_storm_that_fills_its_job_is_frozen_or_moved_whole(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    job = stage.job(victim)
    storm = stage.start("storm")
    job.add(storm.pid)
    freeze(enforcer, victim.pid, storm.pid)
    storm.stands()
    victim.stands()
    until_complete(lambda: enforcer.kill("lane", []))
    assert storm.living() == set()
    assert not job.freeze_asked()


def test_a_shared_job_is_not_frozen_and_the_lane_returns_to_it(stage: Stage) -> None:
    enforcer, victim, neighbour = stage.enforcer(), stage.start("beat"), stage.start("beat")
    job = stage.job(victim, neighbour)
    frozen = freeze(enforcer, victim.pid)
    assert frozen.mechanisms == (Mechanism.CGROUP_OWN,)
    assert own(stage).pids() == (victim.pid,)
    victim.stands()
    neighbour.beats()
    assert job.pids() == (neighbour.pid,)
    thaw(enforcer)
    victim.beats()
    assert set(job.pids()) == {victim.pid, neighbour.pid}
    assert not own(stage).exists()


def test_a_job_with_a_sub_cgroup_is_not_frozen_in_place(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    job = stage.job(victim)
    inner = Cgroup(f"{job.path}/inner")
    inner.create()
    try:
        assert freeze(enforcer, victim.pid).mechanisms == (Mechanism.CGROUP_OWN,)
        assert not job.freeze_asked()
    finally:
        inner.remove()


def test_who_joins_a_frozen_job_goes_on_after_the_next_call(stage: Stage) -> None:
    enforcer, victim, joiner = stage.enforcer(), stage.start("beat"), stage.start("beat")
    job = stage.job(victim)
    freeze(enforcer, victim.pid)
    job.add(joiner.pid)
    again = freeze(enforcer, victim.pid)
    assert ids(again) == {FindingId.CGROUP_JOINED}
    joiner.beats()
    victim.stands()
    thaw(enforcer)
    victim.beats()
    assert set(job.pids()) == {victim.pid, joiner.pid}


def test_kill_spares_who_joined_the_frozen_job(stage: Stage) -> None:
    enforcer, victim, joiner = stage.enforcer(), stage.start("beat"), stage.start("beat")
    job = stage.job(victim)
    freeze(enforcer, victim.pid)
    job.add(joiner.pid)
    assert until_complete(lambda: enforcer.kill("lane", [])).done == (victim.pid,)
    joiner.beats()


def test_kill_leaves_the_job_thawed_for_its_owner(stage: Stage) -> None:
    enforcer, victim, later = stage.enforcer(), stage.start("beat"), stage.start("beat")
    job = stage.job(victim)
    freeze(enforcer, victim.pid)
    until_complete(lambda: enforcer.kill("lane", []))
    job.add(later.pid)
    later.beats()


def test_a_job_whose_processes_died_frozen_is_thawed_by_the_next_freeze(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    job = stage.job(victim)
    freeze(enforcer, victim.pid)
    victim.process.kill()
    victim.process.wait()
    assert freeze(enforcer).done == ()
    assert not job.freeze_asked()


def test_a_job_whose_processes_died_frozen_is_thawed_by_the_next_gate(stage: Stage) -> None:
    victim = stage.start("beat")
    job = stage.job(victim)
    freeze(stage.enforcer(), victim.pid)
    victim.process.kill()
    victim.process.wait()
    assert stage.enforcer().adopt() == ()
    assert not job.freeze_asked()


def test_a_job_that_somebody_else_froze_stays_frozen_after_thaw(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    job = stage.job(victim)
    job.set_frozen(frozen=True)
    until(job.frozen, "the job to freeze")
    freeze(enforcer, victim.pid)
    thaw(enforcer)
    assert job.frozen()
    job.set_frozen(frozen=False)
    victim.beats()


def test_two_lanes_in_one_job_do_not_release_each_other(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    job = stage.job(victim)
    until_complete(lambda: enforcer.freeze("a", [victim.pid]))
    until_complete(lambda: enforcer.freeze("b", [victim.pid]))
    until_complete(lambda: enforcer.thaw("a"))
    assert job.frozen()
    until_complete(lambda: enforcer.thaw("b"))
    victim.beats()


@pytest.mark.parametrize("shared", [True, False])
def test_a_cgroup_thawed_by_somebody_else_is_frozen_again(stage: Stage, *, shared: bool) -> None:
    enforcer, victim, neighbour = stage.enforcer(), stage.start("beat"), stage.start("beat")
    job = stage.job(victim, neighbour) if shared else stage.job(victim)
    freeze(enforcer, victim.pid)
    (own(stage) if shared else job).set_frozen(frozen=False)
    victim.beats()
    assert ids(freeze(enforcer)) == {FindingId.CGROUP_THAWED}
    victim.stands()


def test_a_process_moved_out_of_its_lane_is_taken_again(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    freeze(enforcer, victim.pid)
    Cgroup(mount()).add(victim.pid)
    victim.beats()
    assert ids(freeze(enforcer)) == {FindingId.PID_ESCAPED}
    victim.stands()


def test_where_the_origin_is_gone_the_lane_runs_on_where_it_is(stage: Stage) -> None:
    enforcer, victim, neighbour = stage.enforcer(), stage.start("beat"), stage.start("beat")
    job = stage.job(victim, neighbour)
    freeze(enforcer, victim.pid)
    Cgroup(mount()).add(neighbour.pid)
    until(job.remove, "the job's cgroup to go")
    assert ids(thaw(enforcer)) == {FindingId.CGROUP_ORIGIN_GONE}
    victim.beats()
    assert freeze(enforcer, victim.pid).done == (victim.pid,)
    victim.stands()


def test_a_lane_is_found_by_its_cgroup_when_the_record_is_lost(stage: Stage) -> None:
    victim = stage.start("beat")
    freeze(stage.enforcer(), victim.pid)
    shutil.rmtree(stage.folder / "state")
    successor = stage.enforcer()
    (adopted,) = successor.adopt()
    assert (adopted.lane_id, adopted.standing) == ("lane", (victim.pid,))
    assert ids(thaw(successor)) == {FindingId.CGROUP_ORIGIN_GONE}
    victim.beats()


def test_a_process_whose_main_thread_exited_elsewhere_is_stopped_by_signal(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("headless")
    until(lambda: ProcFs().thread_states(victim.pid).startswith("Z"), "the main thread to exit")
    stage.job(victim)  # moves the living thread, but lists the process where it was
    frozen = freeze(enforcer, victim.pid)
    assert frozen.mechanisms == (Mechanism.SIGNAL,)
    victim.stands()
    thaw(enforcer)
    victim.beats()


def test_without_the_right_to_signal_the_process_is_named_as_resisting(tmp_path: Path) -> None:
    stage = Stage(tmp_path, use_cgroups=False)
    try:
        victim = stage.start("beat")
        child = os.fork()
        if child == 0:
            os.setresuid(NOBODY, NOBODY, NOBODY)
            outcome = stage.enforcer(budget_ms=10).freeze("lane", [victim.pid])
            denied = FindingId.SIGNAL_DENIED in ids(outcome)
            os._exit(0 if denied and outcome.resisted == (victim.pid,) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        victim.beats()
    finally:
        stage.close()


class LateProcFs(ProcFs):
    """Still sees the former owner of a pid when asked before a move."""

    def alive(self, who: ProcessId) -> bool:  # noqa: ARG002
        return True


def test_a_stranger_moved_for_its_pid_is_put_back(stage: Stage) -> None:
    stranger, proc = stage.start("beat"), LateProcFs()
    job = stage.job(stranger)
    found = proc.process(stranger.pid)
    assert found is not None
    former = ProcessId(pid=stranger.pid, start_ticks=found.id.start_ticks - 1)
    tools = Tools(
        proc=proc,
        hierarchy=Hierarchy(mount(), stage.cgroup_base),
        signaller=Signaller(proc, pidfd=True),
        journal=Journal(stage.folder, "boot"),
    )
    notes = Notes()
    target = own_cgroup(tools, "lane", notes)
    assert target is not None
    assert move_into(tools, target, job.path.removeprefix(mount()), [former], notes) == []
    assert [finding.id for finding in notes.findings()] == [FindingId.PID_REUSED]
    assert job.pids() == (stranger.pid,)
    stranger.beats()


def test_a_pid_that_changed_hands_is_left_alone(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    found = ProcFs().process(victim.pid)
    assert found is not None
    victim.process.kill()
    victim.process.wait()
    heir = _fork_as(victim.pid)
    try:
        assert ids(enforcer.freeze("lane", [found.id])) == {FindingId.PID_REUSED}
        assert ids(enforcer.kill("lane", [found.id])) == {FindingId.PID_REUSED}
        assert os.waitpid(heir, os.WNOHANG | os.WUNTRACED) == (0, 0)
        assert ProcFs().cgroup(heir) == ProcFs().cgroup(os.getpid())
    finally:
        os.kill(heir, 9)
        os.waitpid(heir, 0)


def _fork_as(pid: int) -> int:
    """Fork a sleeper with exactly this pid; others may take it first, for a moment."""
    for _ in range(200):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        heir = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
        if heir == pid:
            return heir
        os.kill(heir, 9)
        os.waitpid(heir, 0)
    pytest.fail(f"pid {pid} was never free")
