"""What a campaign of deaths came to, and what ends it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from random import Random

from tests.support.crash.switch import Death, How, Switch


class CrashError(Exception):
    """Something did not survive a death."""


@dataclass(slots=True)
class Figures:
    """Lives and deaths of one scene.

    Attributes:
        lives: processes that were started with a death ahead of them.
        deaths: by call and file.
        longest: the calls of the longest life.
    """

    name: str
    lives: int = 0
    deaths: Counter[str] = field(default_factory=Counter)
    longest: list[str] = field(default_factory=list)

    def lived(self, switch: Switch, of: str = "") -> None:
        """A life is over; ``of`` which of several programs."""
        self.lives += 1
        places = switch.places()
        if len(places) > len(self.longest):
            self.longest = places
        if switch.died:
            self.deaths[f"{of} {places[-1]}"] += 1

    def line(self) -> str:
        """For the end of a campaign."""
        kinds = len(self.deaths)
        return (
            f"{self.name}: {self.lives} lives, {self.deaths.total()} ended by SIGKILL at "
            f"{kinds} kinds of writes, of {len(self.longest)} in the longest life"
        )


def spread(places: Sequence[str], seed: int) -> Iterator[Death]:
    """Every call of a life, and each way to die there; in an order that is drawn.

    Kinds of calls take turns: what a life does once comes as early as what it does all the time.
    """
    source = Random(seed)  # no secret
    turns = []
    for place, count in Counter(places).items():
        # There is no half of a rename.
        ways = [how for how in How if how is not How.HALF or "write " in place]
        for how in ways:
            kind = [Death(place=place, number=n, how=how) for n in range(1, count + 1)]
            source.shuffle(kind)
            turns.append(kind)
    source.shuffle(turns)
    for turn in zip_longest(*turns):
        yield from (death for death in turn if death is not None)


def copied(root: Path, folder: Path, name: str) -> Path:
    """A database as it lies there, in a folder of its own: whoever looks recovers what is torn."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in root.glob(f"{name}*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, folder)
    return folder / name
