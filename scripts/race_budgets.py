"""Race fifty writers for nested budgets, and kill their governor in each round; see the test."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

# Scripts see their own folder only; what tests share is a package beside it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.budget_race import race


def main() -> None:
    """Run so many rounds; a breach of law 2 or 9 ends with its error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1_000, help="deaths of the governor (1000)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (1)")
    parser.add_argument("--hosts", type=int, default=50, help="writers at once (50)")
    given = parser.parse_args()
    started_s = time.monotonic()
    with TemporaryDirectory() as folder:
        figures = race(Path(folder), given.rounds, seed=given.seed, hosts=given.hosts)
    sys.stdout.write(
        f"{figures.rounds} rounds in {time.monotonic() - started_s:.0f} s, each ended by SIGKILL: "
        f"{figures.commits} commits, {figures.grants} grants, {figures.refusals} refusals; "
        f"{figures.writes} sums seen, {figures.falling} of them over a lowered cap and falling\n"
    )


if __name__ == "__main__":
    main()
