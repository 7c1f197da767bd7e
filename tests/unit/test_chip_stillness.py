"""Law 1: what is taken for a chip that stands."""

from __future__ import annotations

from dataclasses import replace

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from tests.support.chip_samples import ZERO, sample
from tests.support.gate_hardware import h100
from tests.support.gate_rig import START_MS, settings

PIDS = (7,)
CYCLES = replace(ZERO, elapsed=10**9)


def meter() -> ChipMeter:
    """Of a chip that was looked at once, with a process on it."""
    made = ChipMeter(0, settings().chips[0], START_MS)
    made.look(seen(1))
    made.look(seen(2, ticks=1, active=1))
    assert made.active
    return made


def seen(
    second: int, *, ticks: int = 0, active: int = 0, pids: tuple[int, ...] = PIDS
) -> ChipSample:
    """At so many seconds, after so many seconds of its clock, of which it worked so many."""
    khz = h100().max_clock_khz
    cycles = replace(CYCLES, elapsed=CYCLES.elapsed + ticks * khz * 1_000)
    cycles = replace(cycles, active=active * khz * 900, fp16=active * khz * 100)
    return replace(sample(START_MS + 1_000 * second, cycles), pids=pids)


def test_counters_that_stand_while_the_clock_moves_show_a_chip_that_stands() -> None:
    one = meter()
    one.look(seen(3, ticks=2, active=1))
    assert (one.active, one.still_since_ms) == (False, START_MS + 2_000)
    assert one.judged_until_ms == one.covered_until_ms == START_MS + 3_000


def test_law_1_counters_that_stand_with_the_clock_prove_nothing() -> None:
    one = meter()
    one.look(seen(3, ticks=1, active=1))
    assert (one.active, one.still_since_ms) == (True, None)
    assert one.judged_until_ms == START_MS + 2_000 < one.covered_until_ms
    one.look(seen(4, ticks=2, active=2))
    assert (one.active, one.still_since_ms) == (True, None), "it worked on"


def test_law_1_nor_do_they_lengthen_a_stand() -> None:
    one = meter()
    one.look(seen(3, ticks=2, active=1))
    one.look(seen(4, ticks=2, active=1))
    assert one.judged_until_ms == START_MS + 3_000
    assert not one.active


def test_without_a_context_it_stands_whatever_its_clock_does() -> None:
    one = meter()
    one.look(seen(3, ticks=1, active=1, pids=()))
    assert (one.active, one.judged_until_ms) == (False, START_MS + 3_000)
