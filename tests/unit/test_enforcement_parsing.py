"""What the kernel's text files mean to the enforcement."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopgate_agent.enforcement.cgroups import Cgroup, Hierarchy, find_mount
from flopgate_agent.enforcement.processes import ProcessId, ProcFs, parse_stat

KTHREAD = 0x0020_0000


def stat(
    *,
    pid: int = 42,
    name: str = "python3",
    state: str = "S",
    parent: int = 1,
    session: int = 7,
    flags: int = 0,
    threads: int = 1,
    start: int = 900,
) -> bytes:
    head = f"{pid} ({name}) {state} {parent} 5 {session} 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0"
    return f"{head} {threads} 0 {start} 1000 20".encode()


def test_stat_gives_identity_parent_session_and_threads() -> None:
    found = parse_stat(stat(threads=3))
    assert found is not None
    assert found.id == ProcessId(pid=42, start_ticks=900)
    assert (found.parent_pid, found.session, found.threads, found.kernel) == (1, 7, 3, False)


@pytest.mark.parametrize("name", ["a) R 1 (b", "", ") ) )", "with space", "1 (x) Z 0 0"])
def test_a_hostile_name_does_not_shift_the_fields(name: str) -> None:
    found = parse_stat(stat(name=name))
    assert found is not None
    assert (found.id.pid, found.state, found.parent_pid) == (42, "S", 1)


def test_kernel_threads_are_known_by_their_flag() -> None:
    found = parse_stat(stat(flags=KTHREAD | 0x40))
    assert found is not None
    assert found.kernel


@pytest.mark.parametrize(
    ("state", "threads", "exited", "headless"),
    [("Z", 1, True, False), ("Z", 2, False, True), ("X", 1, True, False), ("S", 1, False, False)],
)
def test_a_dead_main_thread_is_not_a_dead_process(
    state: str, threads: int, *, exited: bool, headless: bool
) -> None:
    found = parse_stat(stat(state=state, threads=threads))
    assert found is not None
    assert (found.exited, found.headless) == (exited, headless)


@pytest.mark.parametrize("data", [b"", b"42 (x", b"42 (x) S 1", stat().replace(b"900", b"9x0")])
def test_a_cut_or_broken_stat_is_none(data: bytes) -> None:
    assert parse_stat(data) is None


@pytest.fixture
def proc(tmp_path: Path) -> ProcFs:
    folder = tmp_path / "42"
    (folder / "task" / "42").mkdir(parents=True)
    (folder / "stat").write_bytes(stat())
    (folder / "task" / "42" / "stat").write_bytes(stat(state="T"))
    (tmp_path / "self").mkdir()
    return ProcFs(str(tmp_path))


def test_scan_lists_the_living_only(proc: ProcFs, tmp_path: Path) -> None:
    (tmp_path / "43").mkdir()
    (tmp_path / "43" / "stat").write_bytes(stat(pid=43, state="Z"))
    (tmp_path / "44").mkdir()  # gone between the listing and the look
    assert list(proc.scan()) == [42]


def test_a_process_stands_when_all_its_threads_do(proc: ProcFs, tmp_path: Path) -> None:
    assert proc.standing(42)
    (tmp_path / "42" / "task" / "43").mkdir()
    (tmp_path / "42" / "task" / "43" / "stat").write_bytes(stat(pid=43, state="R"))
    assert not proc.standing(42)


@pytest.mark.parametrize(
    ("status", "caught"),
    [
        ("SigCgt:\t0000000000000200\n", True),
        ("SigCgt:\t0000000000000100\n", False),
        ("SigBlk:\t0000000000000200\nSigCgt:\t0000000000000000\n", False),
        ("", False),
    ],
)
def test_only_a_handler_counts_as_catching(
    proc: ProcFs, tmp_path: Path, status: str, *, caught: bool
) -> None:
    (tmp_path / "42" / "status").write_text(f"Name:\tx\n{status}")
    assert proc.catches(42, 10) is caught


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("9:name=systemd:/x\n0::/job/1\n", "/job/1"),
        ("0::/\n", "/"),
        ("0::/job (deleted)\n", None),
        ("0::/../other\n", None),
        ("1:cpu:/x\n", None),
    ],
)
def test_the_v2_cgroup_is_found_in_a_hybrid_hierarchy(
    proc: ProcFs, tmp_path: Path, text: str, path: str | None
) -> None:
    (tmp_path / "42" / "cgroup").write_text(text)
    assert proc.cgroup(42) == path


UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
PART = "50 23 0:26 /job /mnt/part rw - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        (UNIFIED, "/sys/fs/cgroup"),
        (HYBRID, "/sys/fs/cgroup/unified"),
        (PART + UNIFIED, "/sys/fs/cgroup"),
        (PART, None),
        (UNIFIED.replace("/sys/fs/cgroup", r"/a\040b"), "/a b"),
        ("", None),
        ("nonsense - cgroup2\n", None),
    ],
)
def test_the_whole_v2_hierarchy_is_found(text: str, mount: str | None) -> None:
    assert find_mount(text) == mount


def test_a_hierarchy_knows_its_corner() -> None:
    hierarchy = Hierarchy("/m", "flopgate")
    assert hierarchy.at("/") == Cgroup("/m")
    assert hierarchy.at("/job/1") == Cgroup("/m/job/1")
    assert hierarchy.owns("/flopgate/lane")
    assert hierarchy.owns("/flopgate")
    assert not hierarchy.owns("/flopgate-other/lane")
    assert not hierarchy.owns("/")
