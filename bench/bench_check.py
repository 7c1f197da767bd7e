"""How long a job's prolog waits for ``flopgate-agent check``, beside a bare start of Python.

Whole processes, in turns, with the file of a host of two lanes; the goal is a share of the bare
start of the same moment.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

# Scripts see their own folder only; the shared parts are a package beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import machine, spread, table, timed_ms
from flopgate_agent.clocks import elapsed_ms, read_boot_id
from flopgate_agent.gate_process.status_file import StatusFile
from flopgate_proto.v1 import flopgate_pb2 as pb

GOAL = 4.0
"""Times a bare start."""
AGENT = Path(sys.executable).with_name("flopgate-agent")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gate.status"
        lanes = [pb.LaneSnapshot(workload=name, may_start=True) for name in ("train", "serve")]
        status, boot = pb.Snapshot(host_state="enrolled", lanes=lanes), read_boot_id().hex()
        bare: list[float] = []
        check: list[float] = []
        for _ in range(rounds + 1):
            StatusFile(path, boot).write(status, elapsed_ms())
            bare.append(timed_ms([sys.executable, "-c", "pass"]))
            check.append(timed_ms([str(AGENT), "check", "--file", str(path)]))
    # The first of each found nothing in any cache.
    del bare[0], check[0]
    ratios = [one / other for one, other in zip(check, bare, strict=True)]
    table(
        f"Whole processes, medians of {rounds}, ms",
        ("", "ms", "times bare", "goal"),
        [
            ["bare Python", spread(bare, 1), "", ""],
            ["flopgate-agent check", spread(check, 1), f"{median(ratios):.2f}", f"< {GOAL:.0f}"],
        ],
    )


if __name__ == "__main__":
    main()
