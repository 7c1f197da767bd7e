"""Bad days at every write: what governor, gate and all that stands beside them live through.

Real processes are struck, one at a time, at each call by which they write durably: killed with
SIGKILL before it, halfway through it or after it; or the disk is full from there on, the call fails
with EIO, or a write takes half of what it is given. Then each is judged from outside: it says what
is wrong, starts again by itself, and has neither lost nor doubled what it had acknowledged. Those
that differ in kind come first: a short campaign meets every kind of write, a long one every write.
docs/simulator.md tells what each scene plays.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

# Scripts see their own folder only; what tests share is a package beside it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.crash.campaign import SCENES, Plan
from tests.support.crash.figures import CrashError, Figures
from tests.support.crash.switch import How

WAYS = {
    "kill": [how for how in How if how.kills],
    "error": [how for how in How if not how.kills],
    "all": list(How),
}


def main() -> int:
    """Play it: 0 when everything survived, 1 when not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=100, help="bad days of each scene; 0: at every write (100)"
    )
    parser.add_argument(
        "--after", type=int, default=0, help="of each scene's bad days, pass over so many first (0)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order they come in (1)")
    parser.add_argument("--scene", choices=tuple(SCENES), action="append", help="only this one")
    parser.add_argument("--ways", choices=tuple(WAYS), default="all", help="of striking (all)")
    parser.add_argument("--once", action="store_true", help="in one way at each write, not in all")
    given = parser.parse_args()
    started_s = time.monotonic()

    def tell(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started_s:7.0f} s  {text}\n")
        sys.stdout.flush()

    ways = WAYS[given.ways]
    plan = Plan(
        rounds=given.rounds or None,
        after=given.after,
        seed=given.seed,
        ways=ways,
        once=given.once,
    )
    done: list[Figures] = []
    for name in given.scene or SCENES:
        about, play = SCENES[name]
        tell(f"scene {name}: {about}; it is set up")
        try:
            done.append(play(plan, tell))
        except CrashError as error:
            sys.stderr.write(f"NOT SURVIVED, scene {name}, seed {given.seed}: {error}\n")
            return 1
    days = sum(one.struck.total() for one in done)
    tell(f"{days} bad days of real processes in {sum(one.lives for one in done)} lives:")
    for one in done:
        for line in one.lines():
            sys.stdout.write(f"  {line}\n")
    sys.stdout.write(
        "Everything survived: each said what was wrong and started again by itself, what had been\n"
        "acknowledged was there afterwards, once, and nothing ran without permission.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
