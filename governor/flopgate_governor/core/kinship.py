"""Union-find over names that hang together in pairs, and the way from one to another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

E = TypeVar("E")


def kin_by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """For each name in a pair: all that hang together with it, itself among them, sorted."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (parent := parents.setdefault(name, name)) != name:
            parents[name] = parents[parent]
            name = parent
        return name

    for a, b in pairs:
        # The smaller name is the root: what comes out does not depend on the order of the pairs.
        first, second = sorted((root(a), root(b)))
        parents[second] = first
    groups: dict[str, list[str]] = {}
    for name in sorted(parents):
        groups.setdefault(root(name), []).append(name)
    return {name: tuple(group) for group in groups.values() for name in group}


def path_between(start: str, end: str, edges: Iterable[tuple[str, str, E]]) -> Sequence[E] | None:
    """The fewest edges from one name to another; ``None`` where there is no way."""
    beside: dict[str, list[tuple[str, E]]] = {}
    for a, b, edge in edges:
        beside.setdefault(a, []).append((b, edge))
        beside.setdefault(b, []).append((a, edge))
    ways: dict[str, tuple[E, ...]] = {start: ()}
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        if name == end:
            return ways[name]
        for other, edge in beside.get(name, ()):
            if other not in ways:
                ways[other] = (*ways[name], edge)
                waiting.append(other)
    return None


def united(kin: Mapping[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    """All that hang together with a name, itself among them."""
    return kin.get(name) or (name,)
