"""The meter's rules, one by one, on hand-made samples of an H100 (132 SMs, 1980 MHz)."""

from dataclasses import fields, replace

import pytest

from flopgate_agent.counters.sample import CYCLES, ChipSample, PipeCycles
from flopgate_agent.measured import Flop, Measured, Pipe
from flopgate_agent.meter import calibration, measure, worst_case
from flopgate_proto.chips import load_table
from flopgate_proto.values import CounterSource, Severity
from tests.support.chip_samples import ZERO, sample

H100 = load_table().by_name["NVIDIA H100 80GB HBM3"]
A100 = load_table().by_name["NVIDIA A100-SXM4-80GB"]
B200 = load_table().by_name["NVIDIA B200"]
SECOND = 132 * 1980 * 10**6  # cycles of one second, summed over SMs
ALL_PIPES = SECOND * (8192 + 128 + 256 + 512)  # INT8 or FP8, FP64, FP32, FP16


def busy(**pipes: int) -> PipeCycles:
    return replace(ZERO, elapsed=SECOND, **pipes)


def second(**pipes: int) -> Measured:
    return measure(sample(), sample(1000, busy(**pipes)), H100)


def ids(measured: Measured) -> list[str]:
    return [finding.id for finding in measured.findings]


def test_the_names_of_the_cycles_are_those_of_the_value() -> None:
    assert tuple(field.name for field in fields(PipeCycles)) == CYCLES
    counts = tuple(range(len(CYCLES)))
    assert PipeCycles(**dict(zip(CYCLES, counts, strict=True))).counts() == counts


def test_hmma_is_tf32_to_fp8_with_16_bit_nominal() -> None:
    work = SECOND // 2
    measured = second(mma=work, hmma=work, active=work)
    flop = Flop(low=work * 2048, nominal=work * 4096, high=work * 8192)
    assert measured.by_pipe == ((Pipe.HMMA, flop),)
    assert measured.total == flop
    assert measured.source is CounterSource.GPM_CYCLES
    assert measured.elapsed_ms == 1000
    assert not measured.gap
    assert not measured.findings


def test_hmma_reaches_to_fp4_where_the_chip_has_it() -> None:
    ticks = 148 * 1965 * 10**6
    after = replace(ZERO, elapsed=ticks, mma=ticks, hmma=ticks)
    measured = measure(sample(), sample(1000, after), B200)
    assert measured.total == Flop(low=ticks * 4096, nominal=ticks * 8192, high=ticks * 32768)


@pytest.mark.parametrize(
    ("counter", "pipe", "rate"),
    [
        ("imma", Pipe.IMMA, 8192),
        ("dmma", Pipe.DMMA, 256),
        ("dfma", Pipe.DMMA, 256),
    ],
)
def test_each_plain_tensor_pipe_has_one_rate(counter: str, pipe: Pipe, rate: int) -> None:
    measured = second(**{counter: 10**9})
    count = 10**9 * rate
    assert measured.by_pipe == ((pipe, Flop(low=count, nominal=count, high=count)),)


@pytest.mark.parametrize(
    ("counter", "pipe", "rate"),
    [
        ("fp64", Pipe.FP64, 128),
        ("fp32", Pipe.FP32, 256),
        ("fp16", Pipe.FP16, 512),
    ],
)
def test_a_vector_pipe_adds_or_multiplies_and_adds(counter: str, pipe: Pipe, rate: int) -> None:
    measured = second(**{counter: 10**9})
    count = 10**9 * rate
    assert measured.by_pipe == ((pipe, Flop(low=count // 2, nominal=count, high=count)),)


def test_tensor_cycles_that_no_pipe_explains_are_tensor_work() -> None:
    measured = second(mma=10 * 10**9, hmma=10**9, imma=2 * 10**9, dmma=2 * 10**9, dfma=10**9)
    other = dict(measured.by_pipe)[Pipe.MMA_OTHER]
    assert other == Flop(low=4 * 10**9 * 2048, nominal=4 * 10**9 * 4096, high=4 * 10**9 * 8192)


def test_the_integer_pipe_is_not_counted() -> None:
    assert second(integer=SECOND // 2, active=SECOND // 2).total == Flop()


def test_pipes_add_up() -> None:
    measured = second(mma=5 * 10**9, hmma=5 * 10**9, fp32=10**9, fp64=10**9)
    assert [pipe for pipe, _ in measured.by_pipe] == [Pipe.HMMA, Pipe.FP64, Pipe.FP32]
    assert measured.total.nominal == 5 * 10**9 * 4096 + 10**9 * 128 + 10**9 * 256


def test_averaged_counters_give_the_same_as_summed() -> None:
    work = SECOND // 2
    summed = second(mma=work, hmma=work)
    averaged_after = replace(ZERO, elapsed=SECOND // 132, mma=work // 132, hmma=work // 132)
    averaged = measure(sample(), sample(1000, averaged_after), H100)
    assert averaged.total == summed.total
    assert not averaged.gap


@pytest.mark.parametrize("clock_mhz", [120, 345, 1830, 1980, 2050])
@pytest.mark.parametrize("sms", [1, 132])
def test_scale_is_found_at_every_clock(clock_mhz: int, sms: int) -> None:
    ticks = clock_mhz * 10**6 * sms
    after = replace(ZERO, elapsed=ticks, fp32=ticks)
    measured = measure(sample(), sample(1000, after, sm_clock_mhz=min(clock_mhz, 1980)), H100)
    assert measured.total.nominal == clock_mhz * 10**6 * 132 * 256
    assert not measured.gap
    assert not measured.findings


@pytest.mark.parametrize("units", [7, 8, 16, 66, 72])
@pytest.mark.parametrize("told_mhz", [None, 1410])
def test_law_3_sums_over_fewer_units_than_sms_are_priced_as_shares(
    units: int, told_mhz: int | None
) -> None:
    """GPCs, or TPCs: half of the cycles with 16-bit work, at 1410 MHz."""
    ticks = 1410 * 10**6 * units
    after = replace(ZERO, elapsed=ticks, active=ticks, mma=ticks // 2, hmma=ticks // 2)
    measured = measure(sample(), sample(1000, after, sm_clock_mhz=told_mhz), H100)
    assert ids(measured) == ["meter.counter.unscaled"]
    assert not measured.gap
    half = 132 * (told_mhz or 1980) * 10**6 // 2
    assert measured.total == Flop(nominal=half * 4096, high=half * 8192)


def test_pipes_busier_than_elapsed_cycles_of_an_unknown_scale_are_a_jump() -> None:
    after = replace(ZERO, elapsed=16 * 10**9, fp32=17 * 10**9)
    assert ids(measure(sample(), sample(1000, after), H100)) == ["meter.counter.jump"]


def test_summed_is_not_believed_for_a_clock_that_the_cycles_contradict() -> None:
    """Half of the SMs at 1980 MHz, told to be all of them at 800 MHz."""
    ticks = 1980 * 10**6 * 66
    after = replace(ZERO, elapsed=ticks, fp32=ticks)
    measured = measure(sample(), sample(1000, after, sm_clock_mhz=800), H100)
    assert measured.total.nominal == SECOND * 256


def test_what_a_calibration_found_holds_while_the_clock_moves() -> None:
    """A job starts within the look: mostly idle, then at the highest clock."""
    ticks = 500 * 10**6 * 132
    after = replace(ZERO, elapsed=ticks, fp32=ticks // 4)
    seen = sample(), sample(1000, after, sm_clock_mhz=1980)
    assert measure(*seen, H100, summed=True).total.nominal == ticks // 4 * 256
    assert measure(*seen, H100).total.nominal == SECOND // 4 * 256
    assert calibration(*seen, H100) is None


@pytest.mark.parametrize("scale", [1, 132])
def test_a_calibration_tells_the_scale_of_a_steady_clock(scale: int) -> None:
    ticks = 345 * 10**6 * scale
    after = sample(1000, replace(ZERO, elapsed=ticks), sm_clock_mhz=345)
    told = calibration(sample(), after, H100)
    assert told is not None
    assert dict(told.numbers)["sms_per_count"] == 132 // scale


@pytest.mark.parametrize("factor", [0.02, 0.049])
def test_elapsed_cycles_that_fit_no_clock_are_a_gap(factor: float) -> None:
    ticks = int(1980 * 10**6 * factor)
    measured = measure(sample(), sample(1000, replace(ZERO, elapsed=ticks, fp32=1)), H100)
    assert ids(measured) == ["meter.counter.uncalibrated"]
    assert measured.gap
    assert measured.total == worst_case(H100, 1000).total


def test_idle_is_zero_flop() -> None:
    for after in (ZERO, replace(ZERO, elapsed=SECOND), replace(ZERO, elapsed=10**6)):
        measured = measure(sample(), sample(1000, after), H100)
        assert measured.total == Flop()
        assert not measured.by_pipe
        assert not measured.gap
        assert not measured.findings


def test_law_10_cycles_that_stand_still_while_kernels_run_are_charged_by_activity() -> None:
    after = sample(1000, kernel_active_ms=500, sm_clock_mhz=1980)
    measured = measure(sample(), after, H100)
    assert ids(measured) == ["meter.counter.stuck"]
    assert measured.total == Flop(nominal=ALL_PIPES // 2, high=ALL_PIPES // 2)


def test_worst_case_is_all_pipes_at_the_highest_clock() -> None:
    charged = worst_case(H100, 1500)
    assert charged.total == Flop(nominal=ALL_PIPES * 3 // 2, high=ALL_PIPES * 3 // 2)
    assert charged.by_pipe == ((Pipe.UNRESOLVED, charged.total),)
    assert charged.gap
    assert charged.source is CounterSource.PEAK_TIME


@pytest.mark.parametrize("tensor", ["hmma", "imma", "dmma", "dfma"])
def test_law_3_a_gap_costs_at_least_what_all_pipes_together_measure(tensor: str) -> None:
    everything = dict.fromkeys(("active", "mma", tensor, "integer", "fp64", "fp32", "fp16"), SECOND)
    measured = second(**everything)
    assert not measured.gap
    gap = worst_case(H100, 1000)
    assert gap.total.nominal >= measured.total.nominal
    assert gap.total.high >= measured.total.high


def test_law_3_losing_gpm_is_no_cheaper_than_int8_work() -> None:
    measured = second(active=SECOND, mma=SECOND, imma=SECOND)
    hidden = sample(1000, None, kernel_active_ms=1000, sm_clock_mhz=1980)
    assert measure(sample(), hidden, H100).total.nominal >= measured.total.nominal


def test_law_10_tensor_cores_that_do_two_things_at_once_are_a_jump() -> None:
    measured = second(mma=SECOND, hmma=SECOND, imma=SECOND)
    assert ids(measured) == ["meter.counter.jump"]
    assert measured.total == worst_case(H100, 1000).total


def test_fp64_tensor_work_may_be_counted_under_two_names() -> None:
    assert not second(mma=SECOND, dmma=SECOND, dfma=SECOND).gap


@pytest.mark.parametrize("counter", ["elapsed", "active", "hmma", "mma", "fp32", "integer"])
def test_law_3_a_counter_that_goes_back_is_a_gap(counter: str) -> None:
    before = replace(ZERO, elapsed=10, active=10, hmma=10, mma=10, fp32=10, integer=10)
    after = replace(before, **{counter: 9})
    measured = measure(sample(0, before), sample(1000, after), H100)
    assert ids(measured) == ["meter.counter.backwards"]
    assert measured.findings[0].severity is Severity.ALERT
    assert measured.findings[0].numbers == (("cycles", -1), ("elapsed_ms", 1000))
    assert measured.total == worst_case(H100, 1000).total


@pytest.mark.parametrize("counter", ["elapsed", "hmma", "fp64"])
def test_law_10_an_impossible_jump_is_told_and_charged_as_a_gap(counter: str) -> None:
    after = replace(busy(), **{counter: SECOND * 111 // 100})
    measured = measure(sample(), sample(1000, after), H100)
    assert ids(measured) == ["meter.counter.jump"]
    assert measured.total == worst_case(H100, 1000).total


def test_averaged_counters_have_their_own_limit() -> None:
    one_sm = 1980 * 10**6
    after = replace(ZERO, elapsed=one_sm, hmma=one_sm * 2)
    measured = measure(sample(), sample(1000, after), H100)
    assert ids(measured) == ["meter.counter.jump"]


def test_a_few_percent_of_jitter_are_no_jump() -> None:
    ticks = SECOND * 104 // 100
    after = replace(ZERO, elapsed=ticks, hmma=ticks, mma=ticks)
    assert not measure(sample(), sample(1000, after), H100).gap


def test_without_cycles_kernel_activity_bounds() -> None:
    after = sample(1000, None, kernel_active_ms=250, sm_clock_mhz=1410)
    measured = measure(sample(0, None), after, A100)
    assert measured.source is CounterSource.KERNEL_ACTIVE_CLOCK
    cycles, beside = 108 * 1410 * 10**6 // 4, 64 + 128 + 512
    assert measured.total == Flop(nominal=cycles * (2048 + beside), high=cycles * (4096 + beside))
    assert not measured.gap
    assert not measured.findings


def test_without_a_clock_the_highest_counts() -> None:
    after = sample(1000, None, kernel_active_ms=250)
    known = measure(sample(0, None), replace(after, sm_clock_mhz=1410), A100)
    assert measure(sample(0, None), after, A100).total == known.total


def test_no_activity_is_zero_flop() -> None:
    measured = measure(sample(0, None), sample(1000, None, kernel_active_ms=0), A100)
    assert measured.total == Flop()
    assert not measured.gap


@pytest.mark.parametrize("active_ms", [-1, 4051, 10**18])
def test_impossible_activity_is_a_gap(active_ms: int) -> None:
    after = sample(1000, None, kernel_active_ms=active_ms)
    measured = measure(sample(0, None), after, A100)
    assert ids(measured) == ["meter.activity.jump"]
    assert measured.total == worst_case(A100, 1000).total


def test_neither_counter_is_peak_x_time() -> None:
    measured = measure(sample(0, None), sample(1000, None), A100)
    assert ids(measured) == ["meter.counter.missing"]
    assert measured.total == worst_case(A100, 1000).total


def test_cycles_that_vanish_are_told() -> None:
    measured = measure(sample(), sample(1000, None, kernel_active_ms=1000), H100)
    assert ids(measured) == ["meter.gpm.unavailable"]
    assert measured.source is CounterSource.KERNEL_ACTIVE_CLOCK


@pytest.mark.parametrize(
    ("before", "after", "finding"),
    [
        (sample(), sample(1000, None, error="GPU_IS_LOST"), "meter.chip.unreadable"),
        (
            sample(0, None, error="GPU_IS_LOST"),
            sample(1000, kernel_active_ms=0),
            "meter.chip.was_unreadable",
        ),
        (sample(uuid="GPU-2"), sample(1000), "meter.sample.mismatch"),
    ],
)
def test_a_lost_chip_is_charged(before: ChipSample, after: ChipSample, finding: str) -> None:
    measured = measure(before, after, H100)
    assert ids(measured) == [finding]
    assert measured.total == worst_case(H100, 1000).total


def test_time_that_goes_back_covers_nothing_and_is_told() -> None:
    measured = measure(sample(1000), sample(400, busy(hmma=5)), H100)
    assert ids(measured) == ["meter.time.backwards"]
    assert measured.gap
    assert measured.elapsed_ms == 0
    assert measured.total == Flop()


def test_energy_that_goes_back_is_told_beside_the_measurement() -> None:
    measured = measure(sample(energy_mj=10), sample(1000, busy(fp32=9), energy_mj=4), H100)
    assert ids(measured) == ["meter.energy.backwards"]
    assert measured.total.nominal == 9 * 256
    assert not measured.gap


def test_an_unknown_chip_has_no_lower_bound() -> None:
    unknown = load_table().unknown
    ticks = unknown.sm_count * 1980 * 10**6
    after = replace(ZERO, elapsed=ticks, hmma=ticks, mma=ticks)
    measured = measure(sample(), sample(1000, after), unknown)
    assert measured.total.low == 0
    assert measured.total.nominal == ticks * unknown.rates.half_tensor
