"""Fifty writers and `kill -9`: the small version of `make race`."""

from pathlib import Path

import pytest

from tests.support.budget_race import RaceError, race


def test_law_2_fifty_writers_and_a_governor_that_is_killed(tmp_path: Path) -> None:
    figures = race(tmp_path, 6)
    assert figures.rounds == 6
    assert figures.grants > 50
    assert figures.refusals > 0


@pytest.mark.parametrize("bug", ["cap-ignored", "counted-twice"])
def test_law_2_the_race_finds_a_planted_bug(tmp_path: Path, bug: str) -> None:
    with pytest.raises(RaceError):
        race(tmp_path, 6, bug=bug)
