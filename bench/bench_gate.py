"""What a host pays: memory and CPU of gate, sampler and courier beside a running job.

Real processes with default settings, on the fake driver with 8 H100, sampled once a second; joined
and permitted by a real governor over mutual TLS; checked before and after: the job computes, the
gate meters it, reports are acknowledged.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

# Scripts see their own folder only; the shared parts are a package beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import BenchError, Memory, cpu_ticks_s, machine, memory, table
from bench.own_host import OwnHost, running_host
from bench.site import running_site

MB = 10**6
GOALS = {"gate + sampler": (60, 1.0), "courier": (65, 0.5)}
"""MB of resident memory, percent of one core."""
BARE = {
    "bare Python": "pass",
    "Python with cryptography and protobuf": (
        "from cryptography.hazmat.primitives.asymmetric import ec; import google.protobuf.message"
    ),
    "Python with grpc.aio": "import grpc.aio",
}
CLAIM = """\
For scale, as published and not measured here: NVIDIA's fleet agent allows itself 500 MB and 1%."""


@dataclass(slots=True)
class Watched:
    """Processes taken together, and what was seen of them."""

    name: str
    pids: list[int]
    rss_mb: list[float] = field(default_factory=list)
    pss_mb: list[float] = field(default_factory=list)
    private_mb: list[float] = field(default_factory=list)
    started_cpu_s: float = 0.0
    cpu_percent: float = 0.0

    def begin(self) -> None:
        """The window starts."""
        self.started_cpu_s = sum(map(cpu_ticks_s, self.pids))

    def look(self) -> None:
        """One sample of memory."""
        seen: list[Memory] = [memory(pid) for pid in self.pids]
        self.rss_mb.append(sum(one.rss_bytes for one in seen) / MB)
        self.pss_mb.append(sum(one.pss_bytes for one in seen) / MB)
        self.private_mb.append(sum(one.private_bytes for one in seen) / MB)

    def end(self, span_s: float) -> None:
        """The window ends."""
        spent_s = sum(map(cpu_ticks_s, self.pids)) - self.started_cpu_s
        self.cpu_percent = 100 * spent_s / span_s

    def row(self) -> list[str]:
        """A line of the table."""
        goal = GOALS.get(self.name)
        return [
            self.name,
            f"{median(self.rss_mb):.1f}",
            f"{median(self.pss_mb):.1f}",
            f"{median(self.private_mb):.1f}",
            "" if goal is None else f"< {goal[0]}",
            f"{self.rss_mb[-1] - self.rss_mb[0]:+.2f}",
            f"{self.rss_mb[-1] - self.rss_mb[len(self.rss_mb) // 2]:+.2f}",
            f"{self.cpu_percent:.2f}",
            "" if goal is None else f"< {goal[1]}",
        ]


def watch(host: OwnHost, span_s: float, settle_s: float, every_s: float) -> list[Watched]:
    """Watch for a while, after everything has settled."""
    time.sleep(settle_s)
    # Not before: until the lane was permitted the gate had a child that held the chips.
    gate, sampler = host.gate_pids
    seen = [
        Watched("gate + sampler", [gate, sampler]),
        Watched("  gate", [gate]),
        Watched("  sampler", [sampler]),
        Watched("courier", [host.courier_pid]),
    ]
    before = host.check()
    started_s = time.monotonic()
    for one in seen:
        one.begin()
        one.look()
    while (left_s := started_s + span_s - time.monotonic()) > 0:
        time.sleep(min(every_s, left_s))
        for one in seen:
            one.look()
    took_s = time.monotonic() - started_s
    for one in seen:
        one.end(took_s)
    after = host.check()
    measured = after.lanes[0].allotted_tflop - before.lanes[0].allotted_tflop
    if host.gate_pids != [gate, sampler] or measured <= 0:
        raise BenchError(f"not one undisturbed run: {measured} TFLOP metered")
    print(
        f"{took_s:.0f} s: {measured} TFLOP metered, {after.sequence - before.sequence} reports "
        f"made, {after.acknowledged_sequence - before.acknowledged_sequence} acknowledged"
    )
    return seen


def bare(program: str) -> Memory:
    """Memory of an interpreter that did one thing and waits.

    Raises:
        BenchError: it did not start.
    """
    command = f"{program}\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        if child.stdout is None or not child.stdout.readline():
            raise BenchError(f"{program!r} does not run")
        seen = memory(child.pid)
        child.kill()
    return seen


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--span", type=float, default=60.0, help="seconds watched (%(default)s)")
    parser.add_argument("--settle", type=float, default=10.0, help="seconds before that")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--sample-ms", type=int, default=1_000, help="faster shows growth sooner")
    parser.add_argument("--report-ms", type=int, default=60_000, help="see --sample-ms")
    arguments = parser.parse_args()
    print(machine())
    intervals_ms = (arguments.sample_ms, arguments.report_ms)
    with running_site() as site, running_host(site, intervals_ms) as host:
        seen = watch(host, arguments.span, arguments.settle, arguments.every)
    table(
        "A host of 8 H100, MB of 10^6 bytes",
        ("", "RSS", "PSS", "private", "goal", "growth", "2nd half", "CPU %", "goal"),
        [one.row() for one in seen],
    )
    rows = []
    for name, program in BARE.items():
        one = bare(program)
        sizes = (one.rss_bytes, one.pss_bytes, one.private_bytes)
        rows.append([name, *(f"{size / MB:.1f}" for size in sizes)])
    table("Beside it", ("", "RSS", "PSS", "private"), rows)
    print(f"\n{CLAIM}")


if __name__ == "__main__":
    main()
