"""Who belongs to a lane, who never does."""

from __future__ import annotations

from flopgate_agent.enforcement.trees import members, protected_pids
from tests.support.process_table import pids, process, table, who

NONE: frozenset[int] = frozenset()


def test_a_tree_is_its_root_and_all_below() -> None:
    seen = table(process(1, 0), process(10, 1), process(11, 10), process(12, 11), process(20, 1))
    assert pids(members(seen, [who(10)], NONE)) == {10, 11, 12}


def test_an_orphan_is_known_by_the_session_its_forefather_leads() -> None:
    seen = table(process(1, 0), process(10, 1, session=10), process(15, 1, session=10))
    assert pids(members(seen, [who(10)], NONE)) == {10, 15}


def test_a_session_that_a_root_merely_belongs_to_proves_nothing() -> None:
    seen = table(process(1, 0), process(10, 1, session=5), process(15, 1, session=5))
    assert pids(members(seen, [who(10)], NONE)) == {10}


def test_a_root_whose_pid_changed_hands_has_no_tree() -> None:
    seen = table(process(10, 1, start=99), process(11, 10, start=100))
    assert members(seen, [who(10, 50)], NONE) == frozenset()


def test_a_child_older_than_its_parent_is_a_stranger() -> None:
    seen = table(process(10, 1, start=99), process(11, 10, start=98), process(12, 10, start=99))
    assert pids(members(seen, [who(10, 99)], NONE)) == {10, 12}


def test_the_search_does_not_pass_through_the_protected() -> None:
    seen = table(process(10, 1), process(11, 10), process(12, 11))
    assert pids(members(seen, [who(10)], frozenset({11}))) == {10}
    assert members(seen, [who(11)], frozenset({11})) == frozenset()


def test_kernel_threads_are_never_members() -> None:
    seen = table(process(10, 1), process(11, 10, kernel=True), process(12, 11))
    assert pids(members(seen, [who(10)], NONE)) == {10}
    assert members(seen, [who(11)], NONE) == frozenset()


def test_init_the_gate_its_ancestors_and_named_ones_are_protected() -> None:
    seen = table(
        *(process(pid, parent) for pid, parent in [(5, 1), (6, 5), (7, 6), (8, 7), (9, 1)])
    )
    assert protected_pids(seen.get, 7, [who(8), who(9, 1)]) == {1, 5, 6, 7, 8}
