"""Laws 3 and 10: what counters may measure where no gate looked, and of what chip they can be."""

from __future__ import annotations

from dataclasses import fields, replace

from flopgate_agent.counters.sample import PipeCycles
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from flopgate_agent.gate.settings import TFLOP
from flopgate_proto.codec import decode_chip_row, decode_report
from tests.support.gate_hardware import h100
from tests.support.gate_rig import GateRig, running

NAMES = [field.name for field in fields(PipeCycles)]


def meter_of(rig: GateRig) -> ChipMeter:
    return rig.core.meter.chips[0]


def charged_flop(rig: GateRig) -> int:
    return rig.lane.book.allotted_flop + rig.lane.book.unaccounted_flop


def test_law_3_counters_that_survived_tighten_the_gap_of_a_restart() -> None:
    rig = running().run(10_000)
    rig.hardware.freeze({100})
    rig.restart(away_ms=30_000)
    rig.core.samples(rig.hardware.sample(), rig.now)
    truth = rig.hardware.nominal_flop(0)
    assert truth <= charged_flop(rig) <= truth + 2 * TFLOP


def test_law_3_a_reset_while_no_gate_watched_hides_nothing() -> None:
    rig = running().run(5_000)
    rig.hardware.load_anew()
    rig.run(10_000)
    rig.pass_time(rig.now_ms + 20_000)
    rig.hardware.load_anew()
    rig.restart(away_ms=60_000)
    (part,) = meter_of(rig).look(rig.hardware.sample()[0])
    assert part.gap
    assert [found.id for found in part.findings] == ["meter.gap.reset_possible"]


def test_law_3_a_reset_between_two_samplers_hides_nothing() -> None:
    rig = running().run(10_000)
    rig.hardware.load_anew()
    rig.pass_time(rig.now_ms + 100)
    rig.core.samples(rig.hardware.sample(), rig.now)
    rig.pass_time(rig.now_ms + 2_000)
    rig.hardware.load_anew()
    rig.core.meter.reopened()
    rig.pass_time(rig.now_ms + 1_500)
    (part,) = meter_of(rig).look(rig.hardware.sample()[0])
    assert part.gap
    assert [found.id for found in part.findings] == ["meter.gap.reset_possible"]


def test_law_3_another_sampler_goes_on_from_counters_that_survived() -> None:
    rig = running().run(10_000)
    gap = rig.lane.book.gap
    rig.core.meter.reopened()
    assert decode_chip_row(meter_of(rig).encoded_row()).counters, (
        "a gate that dies now goes on from them too"
    )
    rig.pass_time(rig.now_ms + 2_000)
    rig.core.samples(rig.hardware.sample(), rig.now)
    assert rig.lane.book.gap == gap
    assert charged_flop(rig) == rig.hardware.nominal_flop(0)


def test_law_3_what_was_charged_already_takes_its_survivors_along() -> None:
    """Counters from before the silence speak for the silence too, not for what came after it."""
    rig = running().run(10_000)
    rig.restart(away_ms=1_000)
    rig.silent = True
    rig.run(40_000)
    (part,) = meter_of(rig).look(rig.hardware.sample()[0])
    assert part.gap
    assert not part.findings


def test_law_10_more_than_the_chip_can_do_is_a_finding_of_its_report() -> None:
    rig = running()
    (sample,) = rig.hardware.sample()
    found: set[str] = set()
    for second in range(1, 13):
        # All pipes, INT8 on the tensor cores, at a clock that the chip in the table has not.
        cycles = second * rig.hardware.spec.max_clock_khz * 1080
        counted = PipeCycles(**(dict.fromkeys(NAMES, cycles) | {"hmma": 0, "dmma": 0, "dfma": 0}))
        looked = replace(sample, taken_ms=sample.taken_ms + second * 1000, cycles=counted)
        parts = meter_of(rig).look(looked)
        found |= {one.id for part in parts for one in part.findings}
    assert "meter.flop.above_peak" in found


def test_law_10_a_chip_that_ran_for_longer_than_its_host_was_away_is_found_after_a_reboot() -> None:
    rig = running()
    rig.hardware.run_s = 86_400
    rig.run(130_000)
    assert dict(decode_chip_row(meter_of(rig).encoded_row()).counters)["driver.run_s"] == 86_400
    charged = charged_flop(rig)
    # Hours of work under another system, which set the wall clock back before it went.
    rig.restart(boot_id=bytes([9] * 16), away_ms=180_000)
    rig.hardware.run_s = 86_400 + 6 * 3_600
    rig.run(300_000)
    reports = [decode_report(signed.payload) for signed in rig.reports]
    found = [one.id for report in reports for one in report.findings]
    assert found.count("meter.runtime.beyond_clock") == 1
    # It is told, and costs nothing: a count that its owner can stop proves no less.
    assert charged_flop(rig) - charged < h100().worst_nominal_flop_per_s * 620
