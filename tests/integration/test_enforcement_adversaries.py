"""Jobs that do what they can to go on, by a real gate, beside neighbours that must go on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flopgate_agent.enforcement.cgroups import Cgroup
from flopgate_proto.values import LaneState
from flopgate_proto.values.common import Scope, ScopeKind
from flopgate_sim.nvml.values import Workload
from tests.support.gate_host import GateHost
from tests.support.stage import Stage, mount, until_complete
from tests.support.waiting import until

pytestmark = pytest.mark.components

SUPPORT = Path(__file__).parents[1] / "support"
STOPPED, PERMITTED = 0, 1
TICKS = 100
"""A second of the fake hardware."""
FAMILY = (0, 1, 2, 3, 4)
HIDDEN = ("unshare", "--pid", "--mount", "--cgroup", "--ipc", "--uts", "--fork", "--mount-proc")


class Scene:
    """A gate with a lane that is stopped and one that has permission."""

    def __init__(self, folder: Path, *, cgroups: bool) -> None:
        self.cgroups = cgroups
        self._stack = ExitStack()
        self._before = _folders()
        self._started: list[subprocess.Popen[bytes]] = []
        lanes = {"stopped": [STOPPED], "permitted": [PERMITTED]}
        self.host = self._stack.enter_context(GateHost(folder, lanes, cgroups=cgroups, gpus=2))
        self._stack.callback(self._clear)
        self.driver = self.host.driver
        self.host.start()
        for lane in lanes:
            self.host.until_state(lane, LaneState.RUNNING)
        until(lambda: not any(map(self.driver.compute_mode, (0, 1))), "the chips to open")
        self.neighbour = self.driver.start_workload(gpus=[PERMITTED])

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """A process that the scene ends."""
        env = {**os.environ, **self.driver.env()}
        process = subprocess.Popen(command, env=env, start_new_session=True)
        self._started.append(process)
        return process

    def accomplice(self, trick: str, pid: int) -> subprocess.Popen[bytes]:
        """Somebody who keeps waking a process."""
        script = str(SUPPORT / "accomplice.py")
        return self.spawn([sys.executable, script, trick, str(pid), mount()])

    def flop(self, gpu: int) -> int:
        """What a chip has executed."""
        return self.driver.truth(gpu).total_flop

    def stop(self) -> None:
        """Officers stop the one lane at once."""
        scope = Scope(ScopeKind.WORKLOAD, "stopped")
        order = self.host.authority.pause(emergency=True, scope=scope, lapse_ms=3_600_000)
        self.host.courier.order(order)

    def until_it_stands_for_good(self) -> None:
        """A second without any work on the stopped chip; the permitted one works in it."""

        def stood() -> bool:
            before, permitted = self.flop(STOPPED), self.flop(PERMITTED)
            self.driver.wait_ticks(TICKS)
            assert self.flop(PERMITTED) > permitted, "the neighbour stands"
            return self.flop(STOPPED) == before

        until(stood, f"the chip to stand: {self.host.logged()[-2000:]}")
        assert self.host.state_of("permitted") is LaneState.RUNNING
        assert self.neighbour.poll() is None

    def close(self) -> None:
        """End everything."""
        self._stack.close()
        for folder in _folders() - self._before:
            for cgroup in (*_inner(folder), folder):
                until(Cgroup(str(cgroup)).remove, f"{cgroup} to be empty")

    def _clear(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()


def _folders() -> set[Path]:
    return set(Path(mount()).glob("flopgate-*"))


def _inner(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]


@pytest.fixture(params=[True, False], ids=["cgroup", "signal"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, cgroups=request.param)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("trick", ["continue", "thaw", "move"])
def test_law_1_who_is_woken_from_outside_does_not_go_on(scene: Scene, trick: str) -> None:
    job = scene.driver.start_workload(gpus=[STOPPED], drain_ms=50, ignore_sigterm=True)
    helper = scene.accomplice(trick, job.pid)
    scene.stop()
    scene.until_it_stands_for_good()
    # A stopped process cares for no cgroup, a frozen one for no signal.
    woken = trick == "continue" if not scene.cgroups else trick != "continue"
    if woken:
        until(lambda: job.poll() is not None, "who computes again to be killed")
    assert helper.poll() is None, "whoever woke it is no job"


def test_law_1_a_job_that_forks_for_ever_computes_no_more(scene: Scene) -> None:
    work = scene.driver.workload_command(Workload(gpus=[STOPPED], drain_ms=50, ignore_sigterm=True))
    before = scene.flop(STOPPED)
    storm = scene.spawn([sys.executable, str(SUPPORT / "storm.py"), *work])
    until(lambda: scene.flop(STOPPED) > before, "the storm to compute")
    scene.stop()
    scene.until_it_stands_for_good()
    assert storm.poll() is None, "what holds no context and starts jobs may be a scheduler"


def test_law_1_children_in_sessions_of_their_own_that_ignore_signals_stand(scene: Scene) -> None:
    job = scene.driver.start_workload(
        gpus=[STOPPED], children=5, persistent=True, ignore_sigterm=True
    )
    scene.stop()
    scene.until_it_stands_for_good()
    until(lambda: job.poll() is not None, "persistent kernels to be killed")
    until(lambda: not scene.driver.pids(STOPPED), "all of them to be gone")


@pytest.mark.parametrize("inner", [False, True], ids=["by its root", "by who is inside"])
@pytest.mark.parametrize("use_cgroups", [True, False], ids=["cgroup", "signal"])
def test_who_hides_in_namespaces_stands_and_dies(
    tmp_path: Path, *, use_cgroups: bool, inner: bool
) -> None:
    stage = Stage(tmp_path, use_cgroups=use_cgroups)
    try:
        neighbour = stage.start("family", *FAMILY, within=HIDDEN)
        victim = stage.start("family", *FAMILY, within=HIDDEN)
        enforcer = stage.enforcer()
        # The driver names who has the context: as a rule somebody inside.
        named = victim.living() - {victim.pid} if inner else {victim.pid}
        until_complete(lambda: enforcer.freeze("lane", named))
        victim.stands(*FAMILY)
        until_complete(lambda: enforcer.thaw("lane"))
        victim.beats(*FAMILY)
        until_complete(lambda: enforcer.kill("lane", named))
        until(lambda: victim.living() <= {victim.pid}, "everybody inside to be gone")
        neighbour.beats(*FAMILY)
    finally:
        stage.close()
