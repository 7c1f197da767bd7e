"""Hosts and operators that cheat: each is played, and what should come of it comes of it."""

from pathlib import Path

import pytest

from flopgate_sim.adversaries import ADVERSARIES, Adversary, Expected, as_markdown
from flopgate_sim.adversaries.plays import SPAN_MS
from flopgate_sim.planted.worlds import POLICY

BOUND_S = (SPAN_MS + POLICY.lifetime_ms) / 1000
"""The span of a delegation, and the lifetime of the last permit under it."""
PLAYED = [one for one in ADVERSARIES if one.play is not None]


@pytest.mark.parametrize("adversary", PLAYED, ids=lambda one: one.name)
def test_an_adversary_gets_what_the_table_says(adversary: Adversary) -> None:
    assert adversary.play is not None
    played = adversary.play()
    assert not played.broken
    assert played.tried > 0, "what never happened proves nothing"
    assert played.seen
    if adversary.expected is Expected.DETECTED:
        assert 0 < played.seen_after_s <= adversary.within_s
    if adversary.expected is Expected.BOUNDED:
        assert 0 < played.seen_after_s <= BOUND_S


def test_only_what_can_be_played_claims_an_outcome() -> None:
    waiting = {Expected.PENDING, Expected.OUT_OF_REACH}
    assert all((one.play is None) == (one.expected in waiting) for one in ADVERSARIES)


def test_the_table_in_the_docs_is_this_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "adversaries.md").read_text(encoding="utf-8")
    assert text.endswith(as_markdown())
