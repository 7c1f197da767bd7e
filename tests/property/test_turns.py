"""Turns among callers: order is kept, and nobody waits behind a flood."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_governor.core.turns import TURN_REPORTS, Turns
from flopgate_proto.limits import REPORTS_PER_MESSAGE_MAX

COST = st.integers(0, REPORTS_PER_MESSAGE_MAX)
CALLER = st.integers(0, 5)


@given(st.lists(st.one_of(st.tuples(CALLER, COST), st.none()), max_size=200))
def test_nothing_is_lost_and_each_caller_keeps_its_order(
    steps: list[tuple[int, int] | None],
) -> None:
    turns: Turns[tuple[int, int]] = Turns()
    put: dict[int, list[int]] = defaultdict(list)
    taken: dict[int, list[int]] = defaultdict(list)

    def take() -> None:
        reports = turns.next_reports()
        caller, number = turns.take()
        taken[caller].append(number)
        assert reports == max(1, costs[caller, number])

    costs: dict[tuple[int, int], int] = {}
    for step in steps:
        if step is None:
            if turns:
                take()
            continue
        caller, cost = step
        number = len(put[caller])
        costs[caller, number] = cost
        put[caller].append(number)
        turns.put(caller, (caller, number), cost)
    assert len(turns) == sum(map(len, put.values())) - sum(map(len, taken.values()))
    while turns:
        take()
    assert turns.next_reports() == 0
    assert {one: numbers for one, numbers in taken.items() if numbers} == dict(put)
    with pytest.raises(LookupError):
        turns.take()


@given(
    st.dictionaries(st.integers(1, 6), st.lists(COST, min_size=1, max_size=60), max_size=6),
    st.integers(0, TURN_REPORTS),
    st.integers(0, 40),
)
def test_who_comes_with_a_turns_worth_waits_for_one_turn_of_each_other(
    floods: dict[int, list[int]], cost: int, before: int
) -> None:
    """What one of the others can send in between is a turn, and what it had saved for a message."""
    turns: Turns[int] = Turns()
    for caller, costs in floods.items():
        for one in costs:
            turns.put(caller, max(1, one), one)
    for _ in range(min(before, len(turns))):
        turns.take()
    turns.put(0, -1, cost)
    waited = 0
    while (one := turns.take()) != -1:
        waited += one
    assert waited <= len(floods) * (REPORTS_PER_MESSAGE_MAX - 1 + TURN_REPORTS)


@given(st.integers(1, 5), st.integers(1, 40))
def test_single_reports_wait_for_a_turn_of_them(others: int, each: int) -> None:
    turns: Turns[int] = Turns()
    for caller in range(1, others + 1):
        for _ in range(each * TURN_REPORTS):
            turns.put(caller, caller, 1)
    turns.put(0, 0, 1)
    waited = 0
    while turns.take() != 0:
        waited += 1
    assert waited == others * TURN_REPORTS
