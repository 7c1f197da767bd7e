"""Who is ended with a lane: whoever holds its chips, but for services of the host itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopgate_agent.enforcement.jobs import is_system_service, job_pids
from flopgate_agent.enforcement.processes import ProcFs

OF_THE_HOST = (
    "/system.slice/nvidia-persistenced.service",
    "/system.slice/system-dcgm.slice/dcgm@0.service",
    "/nvidia.service",
)
OF_OTHERS = (
    "/user.slice/user-1000.slice/user@1000.service/app.slice/train.service",
    "/user.slice/user-1000.slice/train.service",
    "/machine.slice/guest.service",
    "/machine.slice/machine-guest.scope/payload/system.slice/train.service",
    "/system.slice/docker-0a1b.scope/system.slice/train.service",
    "/system.slice/docker-0a1b.scope/train.service",
    "/kubepods.slice/kubepods-pod0.slice/cri-0a1b.scope/train.service",
    "/system.slice/slurmstepd.scope/job_7/step_0/user/task_0",
    "/train.service/inner",
    "/",
    "",
    None,
)


@pytest.mark.parametrize("cgroup", OF_THE_HOST)
def test_services_of_the_host_do_no_work_of_a_job(cgroup: str) -> None:
    assert is_system_service(cgroup)


@pytest.mark.parametrize("cgroup", OF_OTHERS)
def test_a_service_that_a_user_or_a_container_names_is_none(cgroup: str | None) -> None:
    assert not is_system_service(cgroup)


def test_law_1_a_users_own_service_that_holds_a_chip_is_a_job(tmp_path: Path) -> None:
    """Nobody without root hides from a kill by the name that he gives his unit."""
    for pid, cgroup in enumerate((*OF_THE_HOST, *filter(None, OF_OTHERS)), start=10):
        folder = tmp_path / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "stat").write_text(f"{pid} (train) S 1 1 1 0 -1 0 {'0 ' * 10}1 0 900 0 0")
        (folder / "cgroup").write_text(f"0::{cgroup}\n")
        (folder / "fd" / "3").symlink_to("/dev/nvidia0")
    found = job_pids((), ("/dev/nvidia[0-9]*",), ProcFs(str(tmp_path)))
    assert found == set(range(10 + len(OF_THE_HOST), pid + 1))
