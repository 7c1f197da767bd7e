"""What every benchmark needs: the machine in words, cores, CPU time, memory, plain tables."""

from __future__ import annotations

import contextlib
import os
import platform
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cryptography
import google.protobuf
import grpc
from cryptography.hazmat.backends.openssl import backend

KIB = 1024
NS_PER_S = 10**9


class BenchError(Exception):
    """The benchmark measured something else than it says; the text tells what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of one process in bytes; ``pss`` shares pages fairly among those that map them."""

    rss_bytes: int
    pss_bytes: int
    private_bytes: int


def machine() -> str:
    """One paragraph: what this ran on, and how busy it was."""
    cpu = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    return (
        f"{cpu}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, Linux "
        f"{platform.release()}, Python {platform.python_version()}, cryptography "
        f"{cryptography.__version__} ({backend.openssl_version_text()}), grpcio "
        f"{grpc.__version__}, protobuf {google.protobuf.__version__}, SQLite "
        f"{sqlite3.sqlite_version}; load {load}"
    )


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a plain table; the first column is text, the others are figures."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print(f"\n{title}")
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median with the least and the most in brackets."""
    low, middle, high = min(values), median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def two_cores() -> tuple[int, int]:
    """A core for the server and another one for its load.

    Raises:
        BenchError: this process may use one core only.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:  # noqa: PLR2004  # a server and its load
        raise BenchError("two cores are needed: one for the server, one for its load")
    return cores[-1], cores[0]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run this thread, and what it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def check_pinned(pid: int, core: int) -> None:
    """Check that every thread of a process runs on one core.

    Raises:
        BenchError: one does not.
    """
    for task in Path(f"/proc/{pid}/task").iterdir():
        if os.sched_getaffinity(int(task.name)) != {core}:
            raise BenchError(f"thread {task.name} of {pid} may run on other cores than {core}")


def cpu_ns(pid: int) -> int:
    """CPU time of all living threads of a process, nanoseconds."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total


def cpu_ticks_s(pid: int) -> float:
    """CPU time of a process with all that ended in it, seconds; 10 ms steps."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> Memory:
    """Resident memory of a process."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value = line.split(":")
        sizes[name] = int(value.split()[0]) * KIB
    return Memory(
        rss_bytes=sizes["Rss"],
        pss_bytes=sizes["Pss"],
        private_bytes=sizes["Private_Clean"] + sizes["Private_Dirty"],
    )


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What one thing costs: by the wall clock, and in CPU time of this thread, nanoseconds."""

    wall_ns: float
    cpu_ns: float

    @property
    def per_s(self) -> float:
        """How often in a second, by the wall clock."""
        return NS_PER_S / self.wall_ns


def pace(work: Callable[[], object], span_s: float) -> Pace:
    """Do something again and again for a while."""
    end_ns = time.perf_counter_ns() + int(span_s * NS_PER_S)
    done = 0
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    while time.perf_counter_ns() < end_ns:
        for _ in range(16):
            work()
        done += 16
    return Pace(
        wall_ns=(time.perf_counter_ns() - wall) / done,
        cpu_ns=(time.thread_time_ns() - cpu) / done,
    )


def timed_ms(command: Sequence[str]) -> float:
    """One run of a command, from its start to its end.

    Raises:
        BenchError: it failed.
    """
    started_s = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took_ms = (time.perf_counter() - started_s) * 1e3
    if done.returncode:
        raise BenchError(f"{command[0]} exited with {done.returncode}: {done.stderr}")
    return took_ms
