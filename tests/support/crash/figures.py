"""What a campaign of bad days came to, and what ends it."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from random import Random
from typing import Final

from tests.support.crash.switch import How, Strike, Switch

Tell = Callable[[str], None]
"""Takes a line of progress."""
COULD_NOT: Final = frozenset({1, 2})
"""Exit statuses of a process that tells why it cannot do its work."""

_TOLD: Final = re.compile(r'"level": "(warning|error|critical)"')
"""Of a line of a log; what is no such line is for whoever reads the end of a process."""


class CrashError(Exception):
    """Something did not survive."""


@contextmanager
def bad_day(program: str, strike: Strike) -> Iterator[None]:
    """Whatever comes of it tells which one it was.

    Raises:
        CrashError: something did not survive, or was waited for in vain.
    """
    try:
        yield
    except (CrashError, AssertionError) as error:
        raise CrashError(f"{program}, {strike}: {error}") from error
    except Exception as error:
        error.add_note(f"{program}, {strike}")
        raise


def silent(_: str) -> None:
    """Tells nobody."""


@dataclass(slots=True)
class Figures:
    """Lives and bad days of one scene.

    Attributes:
        name: of the scene.
        lives: processes that were started with a bad day ahead of them.
        struck: how often a program was struck at a call in some way.
        calls: of the longest life of each program, as `Switch.places` names them.
    """

    name: str
    lives: int = 0
    struck: Counter[tuple[str, str, How]] = field(default_factory=Counter)
    calls: dict[str, list[str]] = field(default_factory=dict)

    def lived(self, switch: Switch, strike: Strike | None, program: str) -> None:
        """A life is over."""
        self.lives += 1
        places = switch.places()
        if len(places) >= len(self.calls.get(program, ())):
            self.calls[program] = places
        if strike is not None and switch.struck:
            self.struck[program, strike.place, strike.how] += 1

    def lines(self) -> Iterator[str]:
        """For the end of a campaign: one of each program."""
        for program, calls in self.calls.items():
            ways = Counter[bool]()
            for (name, _, how), times in self.struck.items():
                if name == program:
                    ways[how.kills] += times
            yield (
                f"{self.name:<10}{program:<20}{len(calls):6} writes of {len(set(calls)):3} kinds"
                f"{ways[True]:8} killed{ways[False]:8} failed"
            )


def spread(places: Sequence[str], seed: int) -> Iterator[Strike]:
    """Every call of a life, and each way to strike there; in an order that is drawn.

    Kinds of calls take turns: what a life does once comes as early as what it does all the time.
    """
    source = Random(seed)  # no secret
    turns = []
    for place, count in Counter(places).items():
        for how in filter(lambda how: how.fits(place), How):
            kind = [Strike(place=place, number=n, how=how) for n in range(1, count + 1)]
            source.shuffle(kind)
            turns.append(kind)
    source.shuffle(turns)
    for turn in zip_longest(*turns):
        yield from (strike for strike in turn if strike is not None)


def once(days: Iterable[tuple[str, Strike]]) -> list[tuple[str, Strike]]:
    """Of each call of each program one bad day; the ways take turns as well as they can."""
    left: dict[tuple[str, str, int], list[tuple[str, Strike]]] = {}
    for program, strike in days:
        left.setdefault((program, strike.place, strike.number), []).append((program, strike))
    met: Counter[tuple[str, How]] = Counter()
    found = []
    for choices in left.values():
        least = min(choices, key=lambda day: met[day[1].place, day[1].how])
        met[least[1].place, least[1].how] += 1
        found.append(least)
    return found


def copied(root: Path, folder: Path, name: str) -> Path:
    """A database as it lies there, in a folder of its own: whoever looks recovers what is torn."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in root.glob(f"{name}*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, folder)
    return folder / name


def check_told(said: str, what: str) -> None:
    """Whether a process that could not write said so in words.

    Raises:
        CrashError: it did not, or spilled its inside.
    """
    if "Traceback" in said:
        raise CrashError(f"{what} met an error that it does not know: {said[-3000:]}")
    told = [line for line in said.splitlines() if not line.startswith("{") or _TOLD.search(line)]
    if not "".join(told).strip():
        raise CrashError(f"{what} says nothing of its error: {said[-3000:]}")
