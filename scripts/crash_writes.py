"""Kill -9 at every write of governor, gate, courier, and commands that write files; see the test.

Each scene is played by itself, and deaths that differ in kind come first: a short campaign meets
every kind of write, a long one every write.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

# Scripts see their own folder only; what tests share is a package beside it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.crash.campaign import KINDS
from tests.support.crash.figures import CrashError


def main() -> int:
    """Play it: 0 when everything survived, 1 when not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=100, help="deaths of each scene; 0: at every write (100)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order they come in (1)")
    parser.add_argument("--scene", choices=tuple(KINDS), action="append", help="only this one")
    given = parser.parse_args()
    started_s = time.monotonic()

    def tell(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started_s:7.0f} s  {text}\n")
        sys.stdout.flush()

    lines = []
    for kind in given.scene or KINDS:
        try:
            lines.append(KINDS[kind](given.rounds or None, given.seed, tell).line())
        except CrashError as error:
            sys.stderr.write(f"NOT SURVIVED, {kind}, seed {given.seed}: {error}\n")
            return 1
    sys.stdout.write("\n".join([*lines, "everything survived"]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
