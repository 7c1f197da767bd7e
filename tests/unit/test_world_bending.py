"""Couriers that are bent by several faults at once: each for its own span."""

from __future__ import annotations

from functools import partial

import pytest

from flopgate_sim.adversaries.stage import at_s, staged
from flopgate_sim.world.faults.tampering import Keeping, Unrooting
from flopgate_sim.world.plan import Fault

BEGINS_S, OTHER_S = 100, 200
LONG_S, SHORT_S = 150, 50
HOST = "host-0"


def fault(kind: str, at_s: int, span_s: int) -> Fault:
    return Fault(at_ms=at_s * 1000, kind=kind, target=HOST, span_ms=span_s * 1000)


@pytest.mark.parametrize(
    ("spans_s", "at_the_end"),
    [((LONG_S, LONG_S), Unrooting), ((2 * LONG_S, SHORT_S), Keeping)],
    ids=["the first ends first", "the second ends first"],
)
def test_what_begins_later_does_not_end_with_what_began_before(
    spans_s: tuple[int, int], at_the_end: type
) -> None:
    first = fault("courier_keeps", BEGINS_S, spans_s[0])
    second = fault("roots_dropped", OTHER_S, spans_s[1])
    both_s = min(BEGINS_S + spans_s[0], OTHER_S + spans_s[1])
    over_s = max(BEGINS_S + spans_s[0], OTHER_S + spans_s[1])
    does: dict[float, type] = {}
    with staged(faults=(first, second), duration_ms=(over_s + 10) * 1000) as world:
        (courier,) = world.hosts[0].couriers

        def look(moment_s: float) -> None:
            does[moment_s] = type(courier.tampering)

        moments_s = (BEGINS_S + 1, OTHER_S + 1, both_s + 1, over_s - 1, over_s + 1)
        for moment_s in moments_s:
            at_s(world, moment_s, partial(look, moment_s))
        world.run()
    assert list(does.values()) == [Keeping, Unrooting, at_the_end, at_the_end, type(None)]
