"""Bad days at every write of every program, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol, Self

from tests.support.crash.asked_scene import AskedScene
from tests.support.crash.command_scene import CommandScene
from tests.support.crash.figures import Figures, Tell, bad_day, once, spread
from tests.support.crash.governor_scene import GovernorScene
from tests.support.crash.lockdown_scene import LockdownScene
from tests.support.crash.restored_scene import RestoredScene
from tests.support.crash.site_scene import SiteScene
from tests.support.crash.switch import How, Strike, Switch

SITE_LIVES: Final = 60
"""Lives of one site; then another one is born."""
BIRTHS: Final = 6
"""Bad days of a gate before it has joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What of a scene is played.

    Attributes:
        rounds: so many bad days, `None` for all.
        after: so many are passed over first: another campaign has played them.
        seed: of the order they come in.
        ways: of striking.
        once: one way at each call, not each.
    """

    rounds: int | None = None
    after: int = 0
    seed: int = 1
    ways: Sequence[How] = tuple(How)
    once: bool = False


class Scene(AbstractContextManager[object], Protocol):
    """Programs that can be struck, and what must survive it."""

    figures: Figures
    programs: Sequence[str]
    switch: Switch

    def __enter__(self) -> Self:
        """Set it up."""

    def live(self, program: str, strike: Strike | None) -> None:
        """One life; raises `CrashError` where something did not survive."""


def ahead(scene: Scene, plan: Plan, tell: Tell) -> list[tuple[str, Strike]]:
    """Every bad day of every program of a scene; programs take turns."""
    left: dict[str, Iterator[Strike]] = {}
    for program in scene.programs:
        scene.live(program, None)
        places = scene.switch.places()
        kinds = len(Counter(places))
        tell(f"{program}: a life without a bad day has {len(places)} writes of {kinds} kinds")
        left[program] = (one for one in spread(places, plan.seed) if one.how in plan.ways)
    found = []
    while left:
        for program in tuple(left):
            strike = next(left[program], None)
            if strike is None:
                del left[program]
            else:
                found.append((program, strike))
    return once(found) if plan.once else found


Play = Callable[[Plan, Tell], Figures]


class Course:
    """How far one scene has come.

    Args:
        days: all that are ahead.
    """

    def __init__(self, days: Sequence[tuple[str, Strike]], plan: Plan, tell: Tell) -> None:
        until = None if plan.rounds is None else plan.after + plan.rounds
        self._days = days[:until]
        self._tell = tell
        self._played = min(plan.after, len(self._days))
        places = len({(program, one.place, one.number) for program, one in days})
        ahead = len(self._days) - self._played
        tell(f"{ahead} of {len(days)} bad days at {places} places are ahead")

    @property
    def over(self) -> bool:
        """Whether all was played."""
        return self._played == len(self._days)

    def play(self, scene: Scene, most: int | None = None) -> None:
        """Go on, for so many.

        Raises:
            CrashError: something did not survive; it says which bad day it was.
        """
        for program, strike in self._days[self._played :][:most]:
            with bad_day(program, strike):
                scene.live(program, strike)
            self._played += 1
            met = "" if scene.switch.struck else " (it did not come to that)"
            self._tell(f"{self._played:5} of {len(self._days)}  {program}, {strike}{met}")


def played(make: Callable[[Path], Scene]) -> Play:
    """A scene that lives through all of its bad days."""

    def play(plan: Plan, tell: Tell) -> Figures:
        with TemporaryDirectory() as folder, make(Path(folder)) as scene:
            Course(ahead(scene, plan, tell), plan, tell).play(scene)
            return scene.figures

    return play


def place_of(strike: Strike, life: Sequence[str]) -> int:
    """Which call of that life it is, from 0."""
    same = (at for at, place in enumerate(life) if place == strike.place)
    return next(islice(same, strike.number - 1, None))


def sites(plan: Plan, tell: Tell) -> Figures:
    """Of whole sites, one after the other; gates of all but the first are struck at birth, too."""
    figures = Figures("site")
    course: Course | None = None
    births: Iterator[Strike] = iter(())
    first: Sequence[str] = ()
    while course is None or not course.over:
        # What a life does only once comes first, or the life before has done it.
        born = sorted(islice(births, BIRTHS), key=lambda strike: place_of(strike, first))
        with TemporaryDirectory() as folder, SiteScene(Path(folder), born, figures, tell) as scene:
            if course is None:
                first = scene.born
                births = (one for one in spread(first, plan.seed) if one.how in plan.ways)
                course = Course(ahead(scene, plan, tell), plan, tell)
            course.play(scene, SITE_LIVES)
    return figures


SCENES: Final[dict[str, tuple[str, Play]]] = {
    "governor": ("flopgate-governor serve, with hosts and officers", played(GovernorScene)),
    "restored": ("the same, put back from a backup and reconciled", played(RestoredScene)),
    "site": ("governor, gate and courier of one host, with two jobs", sites),
    "asked": ("a gate of which its own people ask something", played(AskedScene)),
    "lockdown": ("the lock-down of a gate that is gone, and its child", played(LockdownScene)),
    "commands": ("commands that write files", played(CommandScene)),
}
"""What each is, and how it is played."""
