"""The lock-down with jobs in cgroups of their own users, as root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.enforcement.processes import ProcessId
from flopgate_agent.gate.terms import LaneTerm, Terms
from flopgate_agent.lockdown.deciding import Due
from flopgate_agent.lockdown.lease import Lease, Reach
from flopgate_agent.lockdown.stopping import Stopper
from tests.support.stage import Stage, until_complete
from tests.support.waiting import until

pytestmark = pytest.mark.components

STILL = LaneTerm(workload="run-7", freeze_at_ms=0, kill_at_ms=0, still=True)
DUE = Due(gate=False, freeze=(), kill=(STILL,))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, use_cgroups=True)
    try:
        yield made
    finally:
        made.close()


def stopper(stage: Stage) -> Stopper:
    lease = Lease(
        boot_id="ab" * 16,
        gate=ProcessId(pid=1, start_ticks=1),
        terms=Terms(renewed_ms=0, silent_ms=1, lanes=(STILL,)),
        records=str(stage.folder / "state"),
        cgroup_base=stage.cgroup_base,
        use_cgroups=True,
        reach=(Reach(workload="run-7", lane_id="lane", globs=("/dev/nothing",), chips=()),),
    )
    return Stopper(lease, lease.boot_id)


@pytest.mark.parametrize("shared", [True, False])
def test_law_8_who_thaws_a_halted_job_without_a_gate_loses_it(
    stage: Stage, *, shared: bool
) -> None:
    victim, neighbour = stage.start("beat"), stage.start("beat")
    job = stage.job(victim, neighbour) if shared else stage.job(victim)
    gate = stage.enforcer()
    until_complete(lambda: gate.freeze("lane", [victim.pid]))
    with closing(stopper(stage)) as lockdown:
        lockdown.act(DUE, elapsed_ms(), lambda: False)
        assert victim.process.poll() is None, "what stands is spared"
        (stage.lane("lane") if shared else job).set_frozen(frozen=False)
        victim.beats()
        lockdown.act(DUE, elapsed_ms(), lambda: False)
        until(lambda: victim.process.poll() is not None, "who woke to be killed")
    neighbour.beats()
