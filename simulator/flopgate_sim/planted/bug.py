"""One planted bug: what it is, where it shows, and how it is planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flopgate_sim.planted.patching import Swap
from flopgate_sim.world.plan import WorldPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One bug.

    Attributes:
        laws: any of these may find it.
        swaps: what is replaced while it is planted.
        world: plan by seed, in which it shows.
    """

    name: str
    text: str
    laws: frozenset[int]
    swaps: Callable[[], tuple[Swap, ...]]
    world: Callable[[int], WorldPlan]


@contextmanager
def planted(one: Planted) -> Iterator[None]:
    """Production code has the bug inside the block."""
    swaps = one.swaps()
    for swap in swaps:
        swap.put_in()
    try:
        yield
    finally:
        for swap in reversed(swaps):
            swap.take_out()


def bug(
    name: str,
    laws: set[int],
    world: Callable[[int], WorldPlan],
    swaps: Callable[[], tuple[Swap, ...]],
    text: str,
) -> Planted:
    """One of a list, in the order in which a list is read."""
    return Planted(name=name, text=text, laws=frozenset(laws), swaps=swaps, world=world)
