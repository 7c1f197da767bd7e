"""GPM percentages: what the time for which pipes were busy is worth, and what cannot be."""

from dataclasses import replace

import pytest

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.measured import Pipe
from flopgate_agent.meter import measure, worst_case
from flopgate_proto.chips import load_table
from flopgate_proto.values import CounterSource
from tests.support.chip_samples import ZERO

H100 = load_table().by_name["NVIDIA H100 80GB HBM3"]


def shared(taken_ms: int, **busy_us: int) -> ChipSample:
    """A look at a driver that gives percentages: 1500 to 1980 MHz since the look before."""
    return ChipSample(
        uuid="GPU-1",
        taken_ms=taken_ms,
        cycles=None,
        shares=replace(ZERO, elapsed=taken_ms * 1000, **busy_us),
        kernel_active_ms=None,
        sm_clock_mhz=1980,
        sm_clock_low_mhz=1500,
        energy_mj=None,
        pids=None,
        error=None,
    )


def test_shares_are_priced_by_the_clocks_seen() -> None:
    half = 500_000
    measured = measure(shared(1000), shared(2000, mma=half, hmma=half, active=half), H100)
    ((pipe, flop),) = measured.by_pipe
    rates, sms = H100.rates, H100.sm_count
    assert pipe is Pipe.HMMA
    assert flop.low == half * 1500 * sms * (rates.tf32_tensor or 0)
    assert flop.nominal == half * 1980 * sms * rates.half_tensor
    assert flop.high == half * 1980 * sms * (rates.fp8_tensor or 0)
    assert measured.source is CounterSource.GPM_PERCENT
    assert not measured.gap


def test_shares_without_clocks_are_bounded_by_the_highest() -> None:
    work = shared(2000, mma=10, hmma=10, active=10)
    later = replace(work, sm_clock_mhz=None, sm_clock_low_mhz=None)
    measured = measure(shared(1000), later, H100)
    assert measured.total.low == 0
    mhz = -(-H100.max_clock_khz // 1000)
    assert measured.total.nominal == 10 * mhz * H100.sm_count * H100.rates.half_tensor


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"elapsed": 1_999_000}, "meter.share.window"),
        ({"elapsed": 2_500_000}, "meter.share.window"),
        ({"elapsed": 200_000}, "meter.share.window"),
        ({"hmma": 1_000_001, "mma": 1_000_001}, "meter.share.jump"),
        ({"active": 1_000_001}, "meter.share.jump"),
        ({"hmma": 600_000, "imma": 500_000, "mma": 1_000_000}, "meter.share.jump"),
    ],
)
def test_law_3_shares_that_cannot_be_are_charged(changes: dict[str, int], finding: str) -> None:
    later = shared(2000)
    assert later.shares is not None
    bent = replace(later, shares=replace(later.shares, **changes))
    measured = measure(shared(1000), bent, H100)
    assert measured.gap
    assert [found.id for found in measured.findings] == [finding]
    assert measured.total.high == worst_case(H100, 1000).total.high


def test_shares_of_a_mixture_that_were_rounded_up_are_no_jump() -> None:
    later = shared(2000, hmma=500_001, imma=500_001, mma=1_000_000, active=1_000_000)
    assert not measure(shared(1000), later, H100).gap


def test_law_3_another_sampler_began_anew() -> None:
    measured = measure(shared(5000, mma=10, active=10), replace(shared(1000), taken_ms=6000), H100)
    assert (measured.gap, [found.id for found in measured.findings]) == (
        True,
        ["meter.share.window"],
    )
