"""A chip that is cut into instances: what each did, and what the rest costs."""

from dataclasses import replace

import pytest

from flopgate_agent.counters.sample import ChipSample, Instance
from flopgate_agent.measured import Measured
from flopgate_agent.meter import worst_case
from flopgate_agent.parts import calibration, measure, tighten_gap
from flopgate_proto.chips import load_table
from flopgate_proto.values import CounterSource
from tests.support.chip_samples import ZERO, cut, instance, sample

H100 = load_table().by_name["NVIDIA H100 80GB HBM3"]
KHZ = H100.max_clock_khz
SECOND = 1_000
LONG = 3_600_000
"""An hour at the highest clock: no reset fits between two looks."""


def at(number: int, sms: int, ms: int, busy_ms: int = 0) -> Instance:
    """An instance that counted for so long, summed over its SMs."""
    return instance(number, sms, ms * KHZ * sms, busy_ms * KHZ * sms)


def flop(sms: int, busy_ms: int) -> int:
    return sms * busy_ms * KHZ * H100.rates.half_tensor


def worst(sms: int, ms: int = SECOND) -> int:
    return worst_case(H100.part(sms), ms).total.nominal


def names(measured: Measured) -> list[str]:
    return [finding.id for finding in measured.findings]


def test_the_flop_of_a_chip_are_those_of_its_instances() -> None:
    before = cut(0, at(1, 60, LONG), at(2, 60, LONG, 70))
    after = cut(SECOND, at(1, 60, LONG + SECOND, 500), at(2, 60, LONG + SECOND, 370))
    done = measure(before, after, H100)
    assert done.total.nominal == flop(60, 800)
    assert (done.gap, done.source, done.findings) == (False, CounterSource.GPM_CYCLES, ())
    assert done.elapsed_ms == SECOND
    assert 0 < done.total.low < done.total.nominal < done.total.high


def test_averaged_counters_of_an_instance_stand_for_its_own_sms() -> None:
    before = cut(0, instance(1, 60, LONG * KHZ))
    after = cut(SECOND, instance(1, 60, (LONG + SECOND) * KHZ, 250 * KHZ))
    assert measure(before, after, H100).total.nominal == flop(60, 250)


def test_idle_instances_of_a_full_chip_cost_nothing() -> None:
    seven = [[at(one, 16, LONG + ms) for one in range(7)] for ms in (0, SECOND)]
    done = measure(cut(0, *seven[0]), cut(SECOND, *seven[1]), H100)
    assert (done.total.high, done.gap, done.by_pipe) == (0, False, ())


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False), (False, False)])
def test_where_another_instance_had_room_the_rest_is_charged(*, before: bool, after: bool) -> None:
    done = measure(
        cut(0, at(1, 60, LONG), full=before),
        cut(SECOND, at(1, 60, LONG + SECOND, 500), full=after),
        H100,
    )
    assert done.total.nominal == flop(60, 500) + worst(72)
    assert done.gap
    assert names(done) == ["meter.mig.uncovered"]
    assert dict(done.findings[0].numbers) == {"sms": 72, "before": 1, "after": 1}


@pytest.mark.parametrize("which", ["comes", "goes"])
def test_what_comes_or_goes_is_charged_with_all_that_it_could_have_used(which: str) -> None:
    stays = cut(0, at(1, 60, LONG)), cut(SECOND, at(1, 60, LONG + SECOND, 500))
    other = at(2, 60, 900, 100)
    looks = [
        replace(look, instances=(*(look.instances or ()), other)) if there else look
        for look, there in zip(stays, (which == "goes", which == "comes"), strict=True)
    ]
    done = measure(looks[0], looks[1], H100)
    assert done.total.nominal == flop(60, 500) + worst(72)
    assert names(done) == ["meter.mig.uncovered"]


def test_an_instance_that_could_be_another_one_with_the_same_id_is_charged() -> None:
    # It counted for less than the time between the looks when it was seen first.
    before = cut(0, at(1, 60, LONG), at(2, 60, 400))
    after = cut(SECOND, at(1, 60, LONG + SECOND), at(2, 60, 900, 800))
    done = measure(before, after, H100)
    assert done.total.nominal == worst(72)
    assert names(done) == ["meter.instance.reset_possible", "meter.mig.uncovered"]
    assert dict(done.findings[0].numbers)["instance"] == 2


def test_an_instance_whose_counters_cannot_be_read_is_charged() -> None:
    unread = replace(at(2, 60, LONG), cycles=None)
    before = cut(0, at(1, 60, LONG), at(2, 60, LONG))
    after = cut(SECOND, at(1, 60, LONG + SECOND, 500), unread)
    assert measure(before, after, H100).total.nominal == flop(60, 500) + worst(72)


def test_nonsense_of_one_instance_is_charged_and_named() -> None:
    before = cut(0, at(1, 60, LONG, 5_000), at(2, 60, LONG))
    after = cut(SECOND, at(1, 60, LONG + SECOND, 4_000), at(2, 60, LONG + SECOND, 500))
    done = measure(before, after, H100)
    assert done.total.nominal == flop(60, 500) + worst(72)
    assert names(done) == ["meter.counter.backwards", "meter.mig.uncovered"]
    assert dict(done.findings[0].numbers)["instance"] == 1


@pytest.mark.parametrize(
    "instances",
    [
        (at(1, 100, LONG), at(2, 60, LONG)),
        (at(1, 16, LONG), at(1, 16, LONG)),
        (at(1, 0, LONG),),
    ],
    ids=["more SMs than the chip has", "one id twice", "no SM"],
)
def test_a_chip_cannot_be_cut_like_that(instances: tuple[Instance, ...]) -> None:
    whole = at(3, 132, LONG + SECOND)
    for looks in (
        (cut(0, *instances), cut(SECOND, whole)),
        (cut(0, whole), cut(SECOND, *instances)),
    ):
        done = measure(*looks, H100)
        assert done.total.nominal == worst(132)
        assert names(done) == ["meter.instance.nonsense"]


@pytest.mark.parametrize(
    ("previous", "current"),
    [
        (sample(0, ZERO), cut(SECOND, at(1, 132, LONG))),
        (cut(0, at(1, 132, LONG)), sample(SECOND, ZERO)),
        (sample(0, None, mig=True), sample(SECOND, None, mig=True)),
        (cut(0, at(1, 132, LONG)), sample(SECOND, None, mig=True)),
    ],
)
def test_where_instances_cannot_be_read_twice_the_whole_chip_is_charged(
    previous: ChipSample, current: ChipSample
) -> None:
    done = measure(previous, current, H100)
    assert done.total.nominal == worst(132)
    assert names(done) == ["meter.mig.enabled"]


def test_energy_that_went_back_tells_of_a_reset_of_all_instances() -> None:
    before = replace(cut(0, at(1, 132, LONG)), energy_mj=10)
    after = replace(cut(SECOND, at(1, 132, LONG + SECOND)), energy_mj=9)
    done = measure(before, after, H100)
    assert done.total.nominal == worst(132)
    assert names(done) == ["meter.energy.backwards"]


def test_a_gap_is_measured_where_instances_survived_it_and_charged_where_none_was() -> None:
    gap_ms = 4_000
    seven = [at(one, 16, LONG) for one in range(7)]
    after = [at(one, 16, LONG + gap_ms, 100) for one in range(7)]
    done = tighten_gap(cut(0, *seven), cut(9_000, *after), H100, gap_ms)
    # By the gate's time, not by the samples'; and what lies between the instances is charged.
    assert done.elapsed_ms == gap_ms
    assert done.total.nominal == 7 * flop(16, 100) + worst(20, gap_ms)
    assert done.gap
    young = [at(one, 16, 3_000) for one in range(7)]
    renewed = tighten_gap(cut(0, *young), cut(9_000, *young), H100, gap_ms)
    assert renewed.total.nominal == worst(132, gap_ms)


def test_a_gap_of_a_whole_chip_is_metered_as_ever() -> None:
    assert tighten_gap(sample(0), sample(SECOND), H100, SECOND).total.nominal == worst(132)
    assert names(tighten_gap(cut(0), sample(SECOND), H100, SECOND)) == ["meter.gap.unmeasured"]


def test_the_parts_of_a_chip_cost_no_less_than_the_chip() -> None:
    for spec in load_table().by_name.values():
        parts = [spec.part(1), spec.part(spec.sm_count - 1)]
        for rate in ("worst_nominal_flop_per_s", "worst_high_flop_per_s", "peak_16bit_flop_per_s"):
            assert sum(getattr(part, rate) for part in parts) >= getattr(spec, rate)
        assert spec.part(spec.sm_count).worst_high_flop_per_s == spec.worst_high_flop_per_s


@pytest.mark.parametrize("summed", [True, False])
def test_how_counters_count_is_told_by_an_instance_and_holds_for_all(*, summed: bool) -> None:
    per = 60 if summed else 1
    looks = [cut(at_ms, instance(4, 60, (LONG + at_ms) * KHZ * per)) for at_ms in (0, SECOND)]
    told = calibration(looks[0], looks[1], H100)
    assert told is not None
    assert dict(told.numbers)["sms_per_count"] == (1 if summed else 60)
    assert dict(told.numbers)["instance"] == 4
    # A clock that fell to a fifth: alone it would fit no reading, and be priced at the highest.
    slow = cut(2 * SECOND, instance(4, 60, (LONG + SECOND + 200) * KHZ * 60, 100 * KHZ * 60))
    full = cut(SECOND, instance(4, 60, (LONG + SECOND) * KHZ * 60))
    exact = measure(full, slow, H100, summed=True)
    assert exact.total.nominal == flop(60, 100)
    assert measure(full, slow, H100).total.nominal > exact.total.nominal


@pytest.mark.parametrize(
    "looks",
    [
        (cut(0, at(4, 60, 10)), cut(SECOND, at(4, 60, 10 + SECOND))),
        (cut(0, at(4, 60, LONG)), cut(SECOND, at(5, 60, LONG + SECOND))),
        (cut(0, at(4, 200, LONG)), cut(SECOND, at(4, 200, LONG + SECOND))),
    ],
    ids=["too young", "another one", "nonsense"],
)
def test_instances_that_prove_nothing_tell_nothing(looks: tuple[ChipSample, ChipSample]) -> None:
    assert calibration(*looks, H100) is None
