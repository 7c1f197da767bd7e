"""How long people wait for a command to start, beside a bare start of Python.

Whole processes, in turns, with a governor that runs and has no host; and of the simulator.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

# Scripts see their own folder only; the shared parts are a package beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import BenchError, machine, spread, table, timed_ms

GOVERNOR = str(Path(sys.executable).with_name("flopgate-governor"))
SIM = str(Path(sys.executable).with_name("flopgate-sim"))
BARE = "bare Python"


def commands(root: Path) -> dict[str, list[str]]:
    """What is timed, by what it is called; the draft that it shows is written here."""
    where, draft = ["--dir", str(root)], str(root.with_name("draft.json"))
    timed_ms([GOVERNOR, "delegate", *where, "--draft", draft])
    pause = ["pause", *where, "--scope", "cluster:c1", "--reason", "x", "--dry-run"]
    return {
        BARE: [sys.executable, "-c", "pass"],
        "--help": [GOVERNOR, "--help"],
        "order show FILE": [GOVERNOR, "order", "show", draft],
        "order show FILE --dir DIR": [GOVERNOR, "order", "show", draft, *where],
        "status": [GOVERNOR, "status", *where],
        "pause --dry-run": [GOVERNOR, *pause],
        "flopgate-sim --help": [SIM, "--help"],
        "flopgate-sim list": [SIM, "list"],
        "flopgate-sim run --help": [SIM, "run", "--help"],
        "flopgate-sim run tiny-faults": [SIM, "run", "tiny-faults", "--seeds", "1"],
    }


def measure(root: Path, rounds: int) -> dict[str, list[float]]:
    """How long each took, in ms."""
    took: dict[str, list[float]] = {}
    given = commands(root)
    for _ in range(rounds + 1):
        for name, command in given.items():
            took.setdefault(name, []).append(timed_ms(command))
    # The first of each found nothing in any cache.
    return {name: each[1:] for name, each in took.items()}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "g"
        timed_ms([GOVERNOR, "init", str(root), "--authority", "a.example"])
        serve = [GOVERNOR, "serve", "--dir", str(root)]
        serve += ["--listen", "127.0.0.1:0", "--enroll-listen", "127.0.0.1:0"]
        with subprocess.Popen(
            serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            try:
                if server.stdout is None or not server.stdout.readline():
                    raise BenchError("the governor does not serve")
                took = measure(root, rounds)
            finally:
                server.terminate()
    bare = took[BARE]
    rows = [
        [name, spread(each, 1), f"{median(a / b for a, b in zip(each, bare, strict=True)):.1f}"]
        for name, each in took.items()
    ]
    table(f"Whole processes, medians of {rounds}, ms", ("", "ms", "times bare"), rows)


if __name__ == "__main__":
    main()
