"""Chips closed by the kernel, as root: real programs of the real root cgroup."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.enforcement.bpf import KernelPrograms
from flopgate_agent.enforcement.cgroups import Cgroup
from flopgate_agent.enforcement.chips import State, Wish
from flopgate_agent.enforcement.chips.device_filter import (
    device_filter,
    settle_filters,
    spared_cgroups,
)
from flopgate_agent.enforcement.filter_code import filter_code
from flopgate_agent.enforcement.processes import ProcFs
from tests.support.chip_host import ChipHost, chip_host
from tests.support.stage import mount
from tests.support.waiting import until

pytestmark = pytest.mark.components

MAJOR, MINOR = 195, 201
"""NVIDIA's major, and a minor that no driver serves: who is let in gets ENXIO."""
OPEN = """
import os, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
for path in sys.argv[2:]:
    try:
        os.open(path, os.O_RDWR)
    except OSError as error:
        print(error.errno)
"""


def opened_from(cgroup: Cgroup, *paths: Path) -> list[int]:
    """What root is told who opens nodes there: one number for each."""
    command = [sys.executable, "-c", OPEN, cgroup.path, *map(str, paths)]
    return [int(line) for line in subprocess.check_output(command).split()]


def node(path: Path, minor: int = MINOR) -> Path:
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(MAJOR, minor))
    return path


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Cgroup]:
    made = Cgroup(f"{mount()}/flopgate-test-{os.getpid()}-{tmp_path.name[-12:]}")
    made.create()
    yield made
    until(made.remove, "the job's cgroup to be empty")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ChipHost]:
    with chip_host(tmp_path, gpus=1) as made:
        where = made.driver.device_dir / "nvidia0"
        where.unlink()
        node(where)
        made.nodes, made.cgroups = (f"{made.driver.device_dir}/nvidia[0-9]*",), mount()
        made.restart()
        try:
            yield made
        finally:
            settle_filters(tmp_path / "state", wanted=False)


def test_programs_are_asked_as_long_as_they_are_attached(job: Cgroup, tmp_path: Path) -> None:
    closed, other = node(tmp_path / "closed"), node(tmp_path / "other", MINOR + 1)
    programs, code = KernelPrograms(job.path), filter_code(MAJOR, MINOR, ())
    assert programs.attached() == []
    tag = programs.load("one", code)
    assert opened_from(job, closed) == [errno.ENXIO], "loaded is not attached"
    programs.attach("one", code)
    (found,) = programs.attached()
    assert (found.name, found.tag) == ("one", tag)
    assert opened_from(job, closed, other) == [errno.EPERM, errno.ENXIO]
    programs.attach("two", filter_code(MAJOR, MINOR + 1, ()))
    assert opened_from(job, closed, other) == [errno.EPERM, errno.EPERM]
    programs.detach(found)
    programs.detach(found)
    assert opened_from(job, closed, other) == [errno.ENXIO, errno.EPERM]


def test_the_kernel_checks_what_it_is_given(job: Cgroup) -> None:
    programs = KernelPrograms(job.path)
    with pytest.raises(OSError, match="Invalid argument") as refused:
        programs.load("endless", filter_code(MAJOR, MINOR, ())[:-8])
    assert refused.value.errno == errno.EINVAL


def test_a_denied_chip_is_closed_for_root_in_a_job_and_by_any_path(
    host: ChipHost, job: Cgroup, tmp_path: Path
) -> None:
    of_host, of_container = host.driver.device_dir / "nvidia0", node(tmp_path / "made by a job")
    host.set(Wish.DENIED)
    assert host.state(0, "device_filter") == State.HELD
    assert opened_from(job, of_host, of_container) == [errno.EPERM, errno.EPERM]
    with pytest.raises(OSError, match="such device"):
        os.open(of_container, os.O_RDWR)  # this process is in the gate's own cgroup
    host.set(Wish.FREE)
    assert host.state(0, "device_filter") == State.UNDONE
    assert opened_from(job, of_host, of_container) == [errno.ENXIO, errno.ENXIO]
    assert host.told == []


def test_it_outlives_the_gate_and_the_next_one_lets_go(host: ChipHost, job: Cgroup) -> None:
    of_host = host.driver.device_dir / "nvidia0"
    host.set(Wish.SLOWED)
    host.limits.close()
    assert opened_from(job, of_host) == [errno.EPERM]
    host.restart()
    host.set(Wish.DENIED)
    of_host.unlink()  # the record says which device it was
    host.set(Wish.FREE)
    assert opened_from(job, node(of_host)) == [errno.ENXIO]


def test_whoever_detaches_it_is_found_out(host: ChipHost, job: Cgroup, tmp_path: Path) -> None:
    host.set(Wish.DENIED)
    settle_filters(tmp_path / "state", wanted=False)
    assert opened_from(job, host.driver.device_dir / "nvidia0") == [errno.ENXIO]
    host.now_ms += 60_000
    host.until(lambda: not host.limits.idle, "a renewal")
    host.until(lambda: host.limits.idle, "the answer")
    assert opened_from(job, host.driver.device_dir / "nvidia0") == [errno.EPERM]
    assert [(one.rung, one.state) for one in host.told] == [("device_filter", State.FOUND_UNDONE)]


def test_a_gate_in_a_new_cgroup_is_let_in(job: Cgroup, tmp_path: Path) -> None:
    """As after a restart by systemd, which makes the unit another cgroup."""
    records, closed = tmp_path / "state", node(tmp_path / "closed")
    name = device_filter(job.path, records)._name(os.makedev(MAJOR, MINOR))  # noqa: SLF001
    programs = KernelPrograms(job.path)
    programs.attach(name, filter_code(MAJOR, MINOR, ()))
    programs.attach("of_another", filter_code(MAJOR, MINOR + 1, ()))
    inner = [Cgroup(f"{job.path}/{name}") for name in ("flopgate-gate.service", "run-7.scope")]
    for cgroup in inner:
        cgroup.create()
    try:
        assert [opened_from(cgroup, closed) for cgroup in inner] == [[errno.EPERM], [errno.EPERM]]
        device_filter(job.path, records).settle(wanted=True)
        assert [opened_from(cgroup, closed) for cgroup in inner] == [[errno.ENXIO], [errno.EPERM]]
        device_filter(job.path, records).settle(wanted=False)
        assert [one.name for one in programs.attached()] == ["of_another"]
    finally:
        for cgroup in inner:
            until(cgroup.remove, "it to be empty")


def test_services_of_the_system_are_spared_and_those_of_users_are_not(tmp_path: Path) -> None:
    spared = [
        tmp_path / "system.slice" / "nvidia-persistenced.service",
        tmp_path / "system.slice" / "system-dcgm.slice" / "dcgm@0.service",
    ]
    bound = [
        tmp_path / "user.slice" / "user-1.slice" / "user@1.service" / "app.slice" / "x.service",
        tmp_path / "machine.slice" / "guest.service",
        tmp_path / "system.slice" / "docker-1.scope",
        spared[0] / "payload",
        tmp_path / "kubepods.slice" / "pod.slice" / "cri-1.scope",
    ]
    for folder in (*spared, *bound):
        folder.mkdir(parents=True)
    found = spared_cgroups(str(tmp_path), ProcFs(str(tmp_path)))
    assert found == {folder.stat().st_ino for folder in (tmp_path, *spared)}


def test_where_no_device_is_the_rung_says_so(host: ChipHost) -> None:
    (host.driver.device_dir / "nvidia0").unlink()
    host.set(Wish.DENIED)
    told = {(fact.rung, fact.state, fact.detail) for fact in host.told}
    assert ("device_filter", State.REFUSED, "NO_DEVICE") in told
