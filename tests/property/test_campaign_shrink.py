"""What a reduction of faults keeps to, for any set of guilty ones."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flopgate_proto.errors import MisuseError
from flopgate_sim.campaign.outcome import Breach
from flopgate_sim.campaign.shrink import Breaks, Faults, shrink

LAW = 3
SIZES = st.integers(0, 60)


def breach(law: int = LAW) -> Breach:
    return Breach(law=law, law_name="a law", detail="broken", at_ms=1, step=1)


class World:
    """Breaks a law where one of some combinations of faults comes together; counts its runs."""

    def __init__(self, combinations: list[frozenset[int]], decoys: frozenset[int]) -> None:
        self.combinations = combinations
        self.decoys = decoys
        self.asked: list[Faults] = []

    def run(self, faults: Faults) -> Breach | None:
        self.asked.append(faults)
        here = frozenset(faults)
        if any(combination <= here for combination in self.combinations):
            return breach()
        # Another law breaks more easily: that is not what is looked for.
        return breach(LAW + 1) if self.decoys & here else None


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Faults, World]:
    """A plan of faults, and a world that breaks by all of them at least."""
    count = draw(SIZES)
    faults = tuple(range(count))
    subset = st.frozensets(st.sampled_from(faults)) if faults else st.just(frozenset[int]())
    combinations = draw(st.lists(subset, min_size=1, max_size=4))
    return faults, World(combinations, draw(subset))


def without(faults: Faults, left_out: int) -> Faults:
    return tuple(fault for fault in faults if fault != left_out)


@given(worlds())
def test_what_is_left_breaks_the_same_law_and_nothing_of_it_can_be_left_out(
    given_: tuple[Faults, World],
) -> None:
    faults, world = given_
    shrunk = shrink(faults, LAW, world.run, runs_max=10_000)
    assert shrunk.minimal
    assert set(shrunk.faults) <= set(faults)
    assert list(shrunk.faults) == sorted(set(shrunk.faults))
    assert shrunk.breach.law == LAW
    again = world.run(shrunk.faults)
    assert again is not None
    assert again.law == LAW
    for fault in shrunk.faults:
        fewer = world.run(without(shrunk.faults, fault))
        assert fewer is None or fewer.law != LAW


@given(worlds())
def test_runs_stay_within_the_stated_number_and_none_is_made_twice(
    given_: tuple[Faults, World],
) -> None:
    faults, world = given_
    shrunk = shrink(faults, LAW, world.run, runs_max=10_000)
    assert shrunk.runs == len(world.asked) == len(set(world.asked))
    assert shrunk.runs <= len(faults) ** 2 + 3 * len(faults) + 2


@given(worlds())
def test_the_same_world_is_reduced_the_same_way(given_: tuple[Faults, World]) -> None:
    faults, world = given_
    first = shrink(faults, LAW, world.run)
    asked = list(world.asked)
    world.asked.clear()
    assert shrink(tuple(reversed(faults)), LAW, world.run) == first
    assert world.asked == asked


@given(worlds(), st.integers(1, 12))
def test_when_the_runs_are_used_up_what_is_left_still_breaks_the_law(
    given_: tuple[Faults, World], runs_max: int
) -> None:
    faults, world = given_
    shrunk = shrink(faults, LAW, world.run, runs_max=runs_max)
    assert shrunk.runs == len(world.asked) <= runs_max
    again = world.run(shrunk.faults)
    assert again is not None
    assert again.law == LAW


@example(1000, 617)
@given(st.integers(1, 2000), st.integers(0, 1999))
def test_one_guilty_fault_of_many_is_found_fast(count: int, guilty: int) -> None:
    guilty %= count
    world = World([frozenset({guilty})], frozenset())
    shrunk = shrink(tuple(range(count)), LAW, world.run)
    assert shrunk.faults == (guilty,)
    assert shrunk.runs <= 2 * count.bit_length() + 2


@pytest.mark.parametrize("runs", [lambda _: None, lambda _: breach(LAW + 1)])
def test_what_does_not_break_the_law_cannot_be_reduced(runs: Breaks) -> None:
    with pytest.raises(MisuseError, match="law 3 is not broken"):
        shrink((1, 2, 3), LAW, runs)
