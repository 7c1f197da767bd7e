"""Fifty writers and `kill -9`: the small version of `make race`."""

from pathlib import Path

import pytest

from tests.support.budget_race import RaceError, race


def test_law_2_fifty_writers_and_a_governor_that_is_killed(tmp_path: Path) -> None:
    figures = race(tmp_path, 4)
    assert figures.rounds == 4
    assert figures.grants > 0
    assert figures.refusals > 0
    assert figures.commits > 4


def test_law_2_the_race_finds_a_planted_bug(tmp_path: Path) -> None:
    with pytest.raises(RaceError):
        race(tmp_path, 6, bug="cap-ignored")
