"""Deaths at every write of every program, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from tests.support.crash.commands import CommandScene
from tests.support.crash.figures import CrashError, Figures, spread
from tests.support.crash.governor_scene import GovernorScene
from tests.support.crash.site_scene import SiteScene
from tests.support.crash.switch import Death, Switch

SITE_LIVES: Final = 60
"""Lives of one site; then another one is born."""
BIRTHS: Final = 6
"""Deaths of a gate before it has joined."""


class Scene(Protocol):
    """Programs that can be killed, and what must survive it."""

    figures: Figures
    programs: Sequence[str]
    switch: Switch

    def live(self, program: str, death: Death | None) -> None:
        """One life; raises `CrashError` where something did not survive."""


Tell = Callable[[str], None]


def deaths(scene: Scene, seed: int) -> Iterator[tuple[str, Death]]:
    """Every death of every program of a scene; programs take turns."""
    left = {}
    for program in scene.programs:
        scene.live(program, None)
        left[program] = spread(scene.switch.places(), seed)
    while left:
        for program in tuple(left):
            death = next(left[program], None)
            if death is None:
                del left[program]
            else:
                yield program, death


def play(scene: Scene, ahead: Iterator[tuple[str, Death]], rounds: int | None, tell: Tell) -> int:
    """So many deaths, or all that there are; how many.

    Raises:
        CrashError: something did not survive; it says which death it was.
    """
    played = 0
    for program, death in islice(ahead, rounds):
        where = f"{program}: {death.how.name.lower()} call {death.number} of {death.place}"
        try:
            scene.live(program, death)
        except (CrashError, AssertionError) as error:
            raise CrashError(f"{where}: {error}") from error
        tell(where)
        played += 1
    return played


def governor(rounds: int | None, seed: int, tell: Tell) -> Figures:
    """Of one governor with spoken hosts."""
    with TemporaryDirectory() as folder, GovernorScene(Path(folder)) as scene:
        play(scene, deaths(scene, seed), rounds, tell)
        return scene.figures


def commands(rounds: int | None, seed: int, tell: Tell) -> Figures:
    """Of commands that write files."""
    with TemporaryDirectory() as folder, CommandScene(Path(folder)) as scene:
        play(scene, deaths(scene, seed), rounds, tell)
        return scene.figures


def place_of(death: Death, life: Sequence[str]) -> int:
    """Which call of that life it is, from 0."""
    same = (at for at, place in enumerate(life) if place == death.place)
    return next(islice(same, death.number - 1, None))


def sites(rounds: int | None, seed: int, tell: Tell) -> Figures:
    """Of whole sites, one after the other; gates of all but the first are killed at birth, too."""
    figures = Figures("site")
    ahead: Iterator[tuple[str, Death]] | None = None
    births: Iterator[Death] = iter(())
    first: Sequence[str] = ()
    while True:
        # What a life does only once comes first, or the life before has done it.
        born = sorted(islice(births, BIRTHS), key=lambda death: place_of(death, first))
        with TemporaryDirectory() as folder, SiteScene(Path(folder), born, figures) as scene:
            if ahead is None:
                first = scene.born
                ahead, births = deaths(scene, seed), spread(first, seed)
            asked = SITE_LIVES if rounds is None else min(SITE_LIVES, rounds)
            played = play(scene, ahead, asked, tell)
        if rounds is not None:
            rounds -= played
        if played < asked or rounds == 0:
            return figures


KINDS: Final[dict[str, Callable[[int | None, int, Tell], Figures]]] = {
    "governor": governor,
    "site": sites,
    "commands": commands,
}
