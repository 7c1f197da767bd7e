"""Law 3 over gaps: no reset makes one cheaper, whenever it is and however counters count."""

from dataclasses import dataclass, replace

from hypothesis import example, given
from hypothesis import strategies as st

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.measured import Measured
from flopgate_agent.meter import tighten_gap, worst_case
from flopgate_proto.chips import ChipSpec, load_table
from tests.support.chip_samples import ZERO, sample

TABLE = load_table()
SPECS = st.sampled_from([*sorted(TABLE.by_name.values(), key=lambda one: one.model), TABLE.unknown])
H100 = TABLE.by_name["NVIDIA H100 80GB HBM3"]
IDLE_PERCENT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some time at one clock, with tensor cores busy for a part of it."""

    ms: int
    clock_percent: int
    busy_percent: int

    def cycles(self, spec: ChipSpec) -> tuple[int, int]:
        """Elapsed, and busy, on all SMs."""
        elapsed = self.ms * spec.max_clock_khz * self.clock_percent // 100 * spec.sm_count
        return elapsed, elapsed * self.busy_percent // 100


def spans(most_ms: int) -> st.SearchStrategy[Span]:
    return st.builds(
        Span,
        ms=st.integers(0, most_ms),
        clock_percent=st.integers(IDLE_PERCENT, 100),
        busy_percent=st.integers(0, 100),
    )


def shown(spec: ChipSpec, counted: list[Span], sms_per_count: int) -> ChipSample:
    """What a driver shows that counted these, each count standing for so many SM cycles."""
    did = [span.cycles(spec) for span in counted]
    elapsed, busy = sum(one[0] for one in did), sum(one[1] for one in did)
    elapsed, busy = elapsed // sms_per_count, busy // sms_per_count
    return sample(cycles=replace(ZERO, elapsed=elapsed, active=busy, mma=busy, hmma=busy))


def truth(spec: ChipSpec, done: list[Span]) -> int:
    return sum(span.cycles(spec)[1] for span in done) * spec.rates.half_tensor


def judge(spec: ChipSpec, last: ChipSample, now: ChipSample, clock_mhz: int, ms: int) -> Measured:
    now = replace(now, sm_clock_mhz=clock_mhz)
    return tighten_gap(last, now, spec, ms)


@given(
    spec=SPECS,
    before=st.lists(spans(10**7), max_size=2),
    hidden=st.lists(spans(10**5), max_size=2),
    after=st.lists(spans(10**5), max_size=2),
    sms=st.tuples(st.integers(1, 1000), st.integers(1, 1000)),
    clock_mhz=st.integers(0, 3000),
    run_s=st.tuples(st.none() | st.integers(0, 2**32 - 2), st.none() | st.integers(0, 2**32 - 2)),
)
# What the meter believed once: as much more on the counters as a clock of 345 MHz explains.
@example(
    spec=H100,
    before=[Span(ms=19_545, clock_percent=100, busy_percent=0)],
    hidden=[Span(ms=30_000, clock_percent=100, busy_percent=100)],
    after=[Span(ms=30_000, clock_percent=100, busy_percent=0)],
    sms=(1, 1),
    clock_mhz=345,
    run_s=(86_400, 86_400),
)
def test_a_reset_inside_a_gap_never_makes_it_cheaper(
    *,
    spec: ChipSpec,
    before: list[Span],
    hidden: list[Span],
    after: list[Span],
    sms: tuple[int, int],
    clock_mhz: int,
    run_s: tuple[int | None, int | None],
) -> None:
    """Whatever run time the chip shows: who has root can keep it from counting."""
    was, is_now = (min(one, spec.sm_count) for one in sms)
    gap_ms = sum(span.ms for span in (*hidden, *after))
    last, now = shown(spec, before, was), shown(spec, after, is_now)
    last, now = replace(last, run_s=run_s[0]), replace(now, run_s=run_s[1])
    charged = judge(spec, last, now, clock_mhz, gap_ms)
    assert charged.total == worst_case(spec, gap_ms).total
    assert charged.total.nominal >= truth(spec, [*hidden, *after])


@given(
    spec=SPECS,
    before=st.lists(spans(10**9), max_size=2),
    during=st.lists(spans(10**5), min_size=1, max_size=3),
    averaged=st.booleans(),
)
def test_a_gap_without_a_reset_costs_what_ran_or_more(
    spec: ChipSpec, before: list[Span], during: list[Span], averaged: bool
) -> None:
    sms_per_count = spec.sm_count if averaged else 1
    gap_ms = sum(span.ms for span in during)
    last = shown(spec, before, sms_per_count)
    now = shown(spec, [*before, *during], sms_per_count)
    charged = judge(spec, last, now, 0, gap_ms)
    # Averages are cut to whole numbers.
    cut = sms_per_count * spec.rates.half_tensor
    assert charged.total.nominal + cut > truth(spec, during)
    counted = now.cycles.elapsed if now.cycles else 0
    if counted > (spec.max_clock_khz * (gap_ms + 50) * 21 // 20 + 1) * spec.sm_count and gap_ms:
        assert not charged.gap
