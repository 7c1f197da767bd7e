"""What holds for every pair of samples: order, additivity, totality."""

from dataclasses import fields
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.counters.sample import ChipSample, PipeCycles
from flopgate_agent.crosscheck import CrossCheck
from flopgate_agent.measured import Flop, Measured
from flopgate_agent.meter import measure, tighten_gap, worst_case
from flopgate_proto.chips import ChipSpec, load_table
from flopgate_proto.values import CounterSource

TABLE = load_table()
SPECS = st.sampled_from([*sorted(TABLE.by_name.values(), key=lambda one: one.model), TABLE.unknown])
COUNTER = st.integers(0, 2**63 - 1)
SMALL = st.integers(0, 10**6)
UUIDS = st.sampled_from(["GPU-1", "GPU-2"])


def maybe(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | numbers


def cycles(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[PipeCycles]:
    return st.builds(PipeCycles, **{field.name: numbers for field in fields(PipeCycles)})


SAMPLES = st.builds(
    ChipSample,
    uuid=UUIDS,
    taken_ms=SMALL | COUNTER,
    cycles=st.none() | cycles(SMALL) | cycles(COUNTER),
    kernel_active_ms=maybe(SMALL | st.integers(-5, 2**64)),
    sm_clock_mhz=maybe(st.integers(-5, 10_000)),
    sm_clock_low_mhz=maybe(st.integers(-5, 10_000)),
    energy_mj=maybe(COUNTER),
    pids=st.none(),
    shares=st.none() | cycles(SMALL),
    error=st.none() | st.just("GPU_IS_LOST"),
)

NAMES = tuple(field.name for field in fields(PipeCycles))
PIPES = ("mma", "dmma", "hmma", "imma", "dfma", "integer", "fp64", "fp32", "fp16")


def check(measured: Measured) -> None:
    for flop in (measured.total, *(flop for _, flop in measured.by_pipe)):
        assert 0 <= flop.low <= flop.nominal <= flop.high
    assert sum((flop for _, flop in measured.by_pipe), Flop()) == measured.total
    assert len({pipe for pipe, _ in measured.by_pipe}) == len(measured.by_pipe)
    assert measured.elapsed_ms >= 0
    assert measured.gap == (measured.source is CounterSource.PEAK_TIME)
    # Nothing is charged above the peak without anybody being told.
    assert not measured.gap or measured.findings


@given(previous=SAMPLES, current=SAMPLES, spec=SPECS)
def test_any_pair_gives_an_ordered_value(
    previous: ChipSample, current: ChipSample, spec: ChipSpec
) -> None:
    check(measure(previous, current, spec))


@given(last=SAMPLES, now=SAMPLES, spec=SPECS, elapsed_ms=SMALL | st.integers(-5, 2**63))
def test_any_gap_gives_an_ordered_value(
    last: ChipSample, now: ChipSample, spec: ChipSpec, elapsed_ms: int
) -> None:
    check(tighten_gap(last, now, spec, elapsed_ms))


@given(spec=SPECS, parts=st.lists(SMALL, max_size=20))
def test_splitting_a_gap_loses_nothing(spec: ChipSpec, parts: list[int]) -> None:
    whole = worst_case(spec, sum(parts)).total
    pieces = [worst_case(spec, part).total for part in parts]
    for name in ("nominal", "high"):
        added = sum(getattr(piece, name) for piece in pieces)
        assert 0 <= added - getattr(whole, name) <= len(parts)


@st.composite
def histories(draw: st.DrawFn) -> tuple[ChipSpec, list[ChipSample]]:
    """Samples of a chip that does what is possible: random load at random clocks."""
    spec = draw(SPECS)
    summed = draw(st.booleans())
    now_ms = draw(SMALL)
    counters = [draw(st.integers(0, 2**53))] * len(fields(PipeCycles))
    seen = []
    for _ in range(draw(st.integers(2, 6))):
        elapsed, active, *pipes = counters
        named = dict(zip(PIPES, pipes, strict=True))
        seen.append(
            ChipSample(
                uuid="GPU-1",
                taken_ms=now_ms,
                cycles=PipeCycles(elapsed=elapsed, active=active, **named),
                kernel_active_ms=None,
                sm_clock_mhz=-(-spec.max_clock_khz // 2000),
                energy_mj=None,
                pids=None,
                error=None,
            )
        )
        # An idle interval may be short; half of the highest clock is far from every limit.
        span_ms = draw(st.integers(100, 100_000))
        now_ms += span_ms
        ticks = span_ms * spec.max_clock_khz // 2 * (spec.sm_count if summed else 1)
        dmma, hmma, imma, dfma, other = (draw(st.integers(0, ticks // 5)) for _ in range(5))
        mma = dmma + hmma + imma + dfma + other
        rest = [draw(st.integers(0, ticks)) for _ in range(4)]
        moved = [ticks, ticks, mma, dmma, hmma, imma, dfma, *rest]
        counters = [had + more for had, more in zip(counters, moved, strict=True)]
    return spec, seen


@given(histories())
def test_splitting_an_interval_changes_nothing(
    history: tuple[ChipSpec, list[ChipSample]],
) -> None:
    spec, seen = history
    whole = measure(seen[0], seen[-1], spec)
    parts = [measure(one, two, spec) for one, two in pairwise(seen)]
    assert not any(part.gap or part.findings for part in (whole, *parts))
    assert sum((part.total for part in parts), Flop()) == whole.total
    assert sum(part.elapsed_ms for part in parts) == whole.elapsed_ms


@st.composite
def possible(draw: st.DrawFn) -> tuple[ChipSpec, int, int, tuple[int, ...]]:
    """A chip, a span, a clock within the highest, and cycles of each pipe within clock x time."""
    spec = draw(SPECS)
    span_ms = draw(st.integers(100, 100_000))
    mhz = draw(st.integers(-(-spec.max_clock_khz // 20_000), spec.max_clock_khz // 1000))
    ticks = span_ms * mhz * 1000
    # Tensor cores do one thing at a time: shares of what they can do, DMMA and DFMA as one.
    mma = draw(st.integers(0, ticks) | st.just(ticks))
    cuts = sorted(draw(st.integers(0, mma) | st.sampled_from([0, mma])) for _ in range(2))
    hmma, imma, fp64_tensor = cuts[0], cuts[1] - cuts[0], mma - cuts[1]
    dmma, dfma = (draw(st.sampled_from([0, fp64_tensor])) for _ in range(2))
    rest = [draw(st.integers(0, ticks) | st.just(ticks)) for _ in range(4)]
    return spec, span_ms, mhz, (mma, dmma, hmma, imma, dfma, *rest)


def a_look(**fields_of: object) -> ChipSample:
    blank: dict[str, object] = dict.fromkeys(
        ("cycles", "kernel_active_ms", "sm_clock_mhz", "energy_mj", "pids", "error")
    )
    return ChipSample(**{**blank, "uuid": "GPU-1", **fields_of})  # type: ignore[arg-type]


@given(
    done=possible(),
    units=st.integers(1, 1000),
    told=st.booleans(),
)
def test_law_3_whatever_units_counters_are_summed_over_nothing_is_undercharged(
    done: tuple[ChipSpec, int, int, tuple[int, ...]], units: int, *, told: bool
) -> None:
    """Summed over all SMs, or over any fewer than three quarters as many units of the chip."""
    spec, span_ms, mhz, pipes = done
    units = spec.sm_count if units * 4 > spec.sm_count * 3 else units
    counted = {name: value * units for name, value in zip(PIPES, pipes, strict=True)}
    ticks = span_ms * mhz * 1000 * units
    zero = PipeCycles(**dict.fromkeys(NAMES, 0))
    cycles = PipeCycles(elapsed=ticks, active=ticks, **counted)
    whole = {name: value * spec.sm_count for name, value in zip(PIPES, pipes, strict=True)}
    summed = PipeCycles(
        elapsed=span_ms * mhz * 1000 * spec.sm_count,
        active=span_ms * mhz * 1000 * spec.sm_count,
        **whole,
    )
    clock = {"taken_ms": span_ms, "sm_clock_mhz": mhz if told else None}
    before = a_look(taken_ms=0, cycles=zero)
    measured = measure(before, a_look(**clock, cycles=cycles), spec)
    truth = measure(before, a_look(**clock, cycles=summed), spec, summed=True)
    assert not measured.gap
    assert measured.total.nominal >= truth.total.nominal
    assert measured.total.high >= truth.total.high


@given(histories())
def test_more_cycles_never_cost_less(history: tuple[ChipSpec, list[ChipSample]]) -> None:
    spec, seen = history
    totals = [measure(seen[0], later, spec).total for later in seen[1:]]
    for name in ("low", "nominal", "high"):
        counts = [getattr(total, name) for total in totals]
        assert counts == sorted(counts)


@given(done=possible(), summed=st.booleans())
def test_law_3_losing_data_never_pays(
    done: tuple[ChipSpec, int, int, tuple[int, ...]], *, summed: bool
) -> None:
    """Whatever is measured within clock x time, a gap of the same time costs at least as much."""
    spec, span_ms, mhz, pipes = done
    ticks = span_ms * mhz * 1000
    scale = spec.sm_count if summed else 1
    named = dict(zip(PIPES, pipes, strict=True))
    zero = PipeCycles(**dict.fromkeys(NAMES, 0))
    counted = {name: value * scale for name, value in named.items()}
    cycles = PipeCycles(elapsed=ticks * scale, active=ticks * scale, **counted)
    busy_us = {name: value // mhz for name, value in named.items()}
    shares = PipeCycles(elapsed=span_ms * 1000, active=span_ms * 1000, **busy_us)
    seen = {"taken_ms": span_ms, "sm_clock_mhz": mhz, "sm_clock_low_mhz": mhz}
    by_cycles = measure(a_look(taken_ms=0, cycles=zero), a_look(**seen, cycles=cycles), spec)
    by_shares = measure(a_look(taken_ms=0, shares=zero), a_look(**seen, shares=shares), spec)
    by_kernels = measure(a_look(taken_ms=0), a_look(**seen, kernel_active_ms=span_ms), spec)
    gap = worst_case(spec, span_ms).total
    for measured in (by_cycles, by_shares, by_kernels):
        assert not measured.gap
        assert measured.total.nominal <= gap.nominal
        assert measured.total.high <= gap.high
    for measured in (by_cycles, by_shares):
        assert measured.total.high <= by_kernels.total.high
        if spec.tells_pipes:
            assert measured.total.nominal <= by_kernels.total.nominal


@st.composite
def share_pairs(draw: st.DrawFn) -> tuple[ChipSample, ChipSample]:
    """Two looks at percentages that fit their interval, mostly."""
    span_ms = draw(st.integers(0, 100_000))
    counters = [draw(SMALL) for _ in fields(PipeCycles)]
    moved = [draw(st.integers(0, span_ms * 1000)) for _ in fields(PipeCycles)]
    moved[0] = span_ms * 1000 + draw(st.sampled_from([0, 0, 0, 1, -1]))
    pair = []
    for taken_ms, values in (
        (7, counters),
        (7 + span_ms, map(sum, zip(counters, moved, strict=True))),
    ):
        pair.append(
            ChipSample(
                uuid="GPU-1",
                taken_ms=taken_ms,
                cycles=None,
                shares=PipeCycles(**dict(zip(NAMES, values, strict=True))),
                kernel_active_ms=None,
                sm_clock_mhz=draw(maybe(st.integers(-5, 2_000))),
                sm_clock_low_mhz=draw(maybe(st.integers(-5, 2_500))),
                energy_mj=None,
                pids=None,
                error=None,
            )
        )
    return pair[0], pair[1]


@given(pair=share_pairs(), spec=SPECS)
def test_shares_of_any_kind_give_an_ordered_value(
    pair: tuple[ChipSample, ChipSample], spec: ChipSpec
) -> None:
    measured = measure(*pair, spec)
    check(measured)
    assert measured.source in {CounterSource.GPM_PERCENT, CounterSource.PEAK_TIME}


@given(before=cycles(SMALL), spec=SPECS, elapsed_ms=SMALL)
def test_still_counters_are_zero_flop(before: PipeCycles, spec: ChipSpec, elapsed_ms: int) -> None:
    still = ChipSample(
        uuid="GPU-1",
        taken_ms=5,
        cycles=before,
        kernel_active_ms=None,
        sm_clock_mhz=None,
        energy_mj=None,
        pids=None,
        error=None,
    )
    later = ChipSample(
        uuid="GPU-1",
        taken_ms=5 + elapsed_ms,
        cycles=before,
        kernel_active_ms=0,
        sm_clock_mhz=None,
        energy_mj=None,
        pids=None,
        error=None,
    )
    measured = measure(still, later, spec)
    assert measured.total == Flop()
    assert not measured.gap


@given(seen=st.lists(SAMPLES, max_size=8), spec=SPECS)
def test_any_samples_give_findings_or_none(seen: list[ChipSample], spec: ChipSpec) -> None:
    checks = CrossCheck(spec)
    for sample in seen:
        for found in checks.look(sample):
            assert found.id.startswith("meter.")
