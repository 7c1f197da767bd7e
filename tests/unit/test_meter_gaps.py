"""When counters measure a gap, and when a reset could hide in it: an H100, a gap of a minute."""

from dataclasses import replace

import pytest

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.measured import Flop, Measured
from flopgate_agent.meter import tighten_gap, worst_case
from flopgate_proto.chips import load_table
from tests.support.chip_samples import ZERO, sample

H100 = load_table().by_name["NVIDIA H100 80GB HBM3"]
SMS = 132
GAP_MS = 60_000
SECOND = 1980 * 10**6  # cycles of one SM
DAY = 86_400 * SECOND


def ids(measured: Measured) -> list[str]:
    return [one.id for one in measured.findings]


def gap(
    before: int, after: int, hmma: int = 0, elapsed_ms: int = GAP_MS, *, summed: bool = False
) -> Measured:
    """A gap with so many cycles counted before and after it."""
    last = sample(0, replace(ZERO, elapsed=before))
    now = sample(elapsed_ms, replace(ZERO, elapsed=after, mma=hmma, hmma=hmma))
    return tighten_gap(last, now, H100, elapsed_ms, summed=summed)


def charged(measured: Measured, why: str, elapsed_ms: int = GAP_MS) -> bool:
    return ids(measured) == [why] and measured.total == worst_case(H100, elapsed_ms).total


@pytest.mark.parametrize("per_sm", [1, SMS])
@pytest.mark.parametrize("percent", [76, 99, 105])
def test_a_gap_that_the_counters_survived_is_measured(per_sm: int, percent: int) -> None:
    before, ticks = DAY * per_sm, 60 * SECOND * per_sm * percent // 100
    tight = gap(before, before + ticks, ticks // 2)
    assert ids(tight) == ["meter.gap.tightened"]
    assert not tight.gap
    assert tight.total.nominal == ticks // 2 * 4096 * (SMS // per_sm)


@pytest.mark.parametrize("known", [False, True])
def test_a_gap_at_a_low_clock_is_exact_only_where_counters_are_known_to_be_summed(
    *, known: bool
) -> None:
    """Sums over all SMs at 5% of the highest clock could be sums over 6 units at full clock."""
    before, ticks = DAY * SMS, 60 * SECOND * SMS // 20
    tight = gap(before, before + ticks, ticks // 2, summed=known)
    most = ticks // 2 if known else 60 * SECOND * SMS // 2
    assert tight.total.nominal == most * 4096
    assert ids(tight)[1:] == ([] if known else ["meter.counter.unscaled"])


def test_an_idle_gap_costs_nothing_at_any_clock() -> None:
    assert gap(DAY * SMS, (DAY + 60 * SECOND * 345 // 1980) * SMS).total == Flop()


@pytest.mark.parametrize("percent", [-3, 0, 3, 106 * SMS])
def test_elapsed_cycles_that_fit_no_clock_are_charged(percent: int) -> None:
    before = DAY * SMS
    assert charged(gap(before, before + 60 * SECOND * percent // 100), "meter.gap.not_continuous")


def test_counters_that_began_inside_the_gap_are_charged_although_they_fit_its_time() -> None:
    """Loaded for a second before the gap, and anew 1 s into it: 58 s more than at its beginning."""
    assert charged(gap(SECOND * SMS, 59 * SECOND * SMS), "meter.gap.reset_possible")


def test_a_clock_that_the_driver_shows_now_proves_nothing_of_the_gap() -> None:
    """At 345 MHz now and before, and at 1980 MHz since a reset half a minute ago."""
    after = 30 * SECOND * SMS
    before = after - 60 * SECOND * SMS * 345 // 1980
    last = sample(0, replace(ZERO, elapsed=before))
    now = replace(sample(GAP_MS, replace(ZERO, elapsed=after)), sm_clock_mhz=345)
    assert charged(tighten_gap(last, now, H100, GAP_MS), "meter.gap.reset_possible")


def test_counters_that_were_averaged_may_be_summed_after_a_reset() -> None:
    """A minute after a day on averaged counters; or 50 s since a reset, on summed ones."""
    before = 50 * SECOND * SMS - 60 * SECOND
    assert charged(gap(before, 50 * SECOND * SMS), "meter.gap.reset_possible")


def test_no_reset_passes_as_long_as_it_could_have_been_inside_the_gap() -> None:
    # 5% and 50 ms more than a minute, on all SMs: no chip counts that far in a minute.
    most = (60 * SECOND * 105 // 100 + SECOND // 20) * SMS
    ticks = 60 * SECOND * SMS
    assert charged(gap(most - ticks, most), "meter.gap.reset_possible")
    assert ids(gap(most - ticks + 1, most + 1)) == ["meter.gap.tightened"]


def test_energy_that_went_back_tells_of_a_driver_that_was_loaded_anew() -> None:
    last = sample(0, replace(ZERO, elapsed=DAY * SMS), energy_mj=10)
    cycles = replace(ZERO, elapsed=(DAY + 60 * SECOND) * SMS)
    told = tighten_gap(last, sample(GAP_MS, cycles, energy_mj=9), H100, GAP_MS)
    assert ids(told) == ["meter.energy.backwards", "meter.gap.reset_possible"]
    assert told.total == worst_case(H100, GAP_MS).total
    assert not tighten_gap(last, sample(GAP_MS, cycles, energy_mj=10), H100, GAP_MS).gap


def test_a_gap_is_charged_by_the_gates_time_not_by_the_samples() -> None:
    last = sample(0, replace(ZERO, elapsed=DAY))
    now = sample(60_000, replace(ZERO, elapsed=DAY + 4 * SECOND))
    assert charged(tighten_gap(last, now, H100, 90_000), "meter.gap.not_continuous", 90_000)


@pytest.mark.parametrize("elapsed_ms", [0, -5])
def test_a_gap_without_time_is_no_time_to_measure(elapsed_ms: int) -> None:
    assert gap(DAY, DAY + SECOND, elapsed_ms=elapsed_ms).total == Flop()


@pytest.mark.parametrize(
    ("last", "now"),
    [
        (sample(0, None), sample(GAP_MS)),
        (sample(0), sample(GAP_MS, None)),
        (sample(0), sample(GAP_MS, uuid="GPU-2")),
        (sample(0), sample(GAP_MS, error="UNKNOWN")),
        (sample(0), sample(GAP_MS, mig=True)),
    ],
)
def test_a_gap_without_counters_is_charged(last: ChipSample, now: ChipSample) -> None:
    assert charged(tighten_gap(last, now, H100, GAP_MS), "meter.gap.unmeasured")
