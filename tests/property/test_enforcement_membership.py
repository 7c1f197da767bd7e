"""Who belongs to a lane, for any table of processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.enforcement.trees import members
from tests.support.process_table import pids, process, table, who


@given(st.dictionaries(st.integers(1, 12), st.integers(0, 12)), st.sets(st.integers(1, 12)))
def test_nobody_outside_the_trees_is_ever_a_member(
    parents: dict[int, int], roots: set[int]
) -> None:
    seen = table(*(process(pid, parent, start=0) for pid, parent in parents.items()))
    found = pids(members(seen, [who(pid, 0) for pid in roots], frozenset({1})))

    def below_a_root(pid: int, steps: int = 13) -> bool:
        if pid == 1 or pid not in parents or not steps:
            return False
        return pid in roots or below_a_root(parents[pid], steps - 1)

    assert found == {pid for pid in parents if below_a_root(pid)}
