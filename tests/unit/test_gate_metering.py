"""Law 3: no unmetered time, and losing data never pays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.gate.actions import KeepReport
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from flopgate_agent.gate.settings import TFLOP, LaneSetting
from flopgate_proto.codec import decode_chip_row, decode_report
from flopgate_proto.values import LaneState, Refusal, Verdict
from tests.support.chip_samples import ZERO, sample
from tests.support.fixed import COURIER_KEY, WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_hardware import Hardware, h100
from tests.support.gate_rig import START_MS, GateRig, cut, running, settings

REBOOTED = bytes([9] * 16)


def meter_of(rig: GateRig, chip: int = 0) -> ChipMeter:
    return rig.core.meter.chips[chip]


def metered_ms(rig: GateRig, chip: int = 0) -> int:
    row = decode_chip_row(meter_of(rig, chip).encoded_row())
    return row.measured_ms + row.gap_ms


def charged_flop(rig: GateRig) -> int:
    book = rig.lane.book
    return book.allotted_flop + book.unaccounted_flop


def test_law_3_every_millisecond_is_measured_or_charged() -> None:
    rig = running(base=settings(2)).run(60_000)
    for chip in rig.hardware.chips:
        assert metered_ms(rig, chip) == meter_of(rig, chip).covered_until_ms - START_MS


def test_law_3_measured_flop_are_the_truth() -> None:
    rig = running().run(60_000)
    rig.core.samples(rig.hardware.sample(), rig.now)
    assert rig.lane.book.measured.nominal == rig.hardware.nominal_flop(0)
    assert charged_flop(rig) == rig.hardware.nominal_flop(0)


def test_law_3_a_lost_chip_is_charged_at_its_peak() -> None:
    rig = running(base=settings(2)).run(10_000)
    before = rig.lane.book.gap.nominal
    rig.hardware.lost.add(1)
    rig.run(10_000)
    charged = rig.lane.book.gap.nominal - before
    assert charged >= h100().worst_nominal_flop_per_s * 9
    assert metered_ms(rig, 1) == meter_of(rig, 1).covered_until_ms - START_MS


def test_law_3_a_chip_of_which_nothing_is_said_is_charged() -> None:
    rig = running(base=settings(2)).run(10_000)
    before = rig.lane.book.gap.nominal
    rig.pass_time(rig.now_ms + 1_000)
    rig.core.samples(rig.hardware.sample()[:1], rig.now)
    assert rig.lane.book.gap.nominal - before >= h100().worst_nominal_flop_per_s


def test_law_3_a_gap_without_permission_goes_to_unaccounted() -> None:
    rig = running().run(10_000)
    allotted = rig.lane.book.allotted_flop
    rig.restart(away_ms=30_000)
    unaccounted = rig.lane.book.unaccounted_flop
    rig.core.samples(rig.hardware.sample(), rig.now)
    assert rig.lane.book.unaccounted_flop > unaccounted
    assert rig.lane.book.allotted_flop <= allotted


def books(rig: GateRig) -> tuple[int, int]:
    """Allotted and unaccounted, in FLOP."""
    return rig.lane.book.allotted_flop, rig.lane.book.unaccounted_flop


def test_law_2_the_wind_down_after_a_pause_is_booked_under_the_grant_up_to_the_freeze() -> None:
    rig = running().run(3_000)
    rig.hardware.jobs[0].drain_ms = 1_500
    rig.core.samples(rig.hardware.sample(), rig.now)
    before, ran = books(rig), rig.hardware.nominal_flop(0)
    rig.order(rig.authority.pause())
    rig.run_until(LaneState.FROZEN)
    wound_down = rig.hardware.nominal_flop(0) - ran
    rig.run_until(LaneState.HALTED)
    rig.run(3_000)
    drained = rig.hardware.nominal_flop(0) - ran - wound_down
    allotted, unaccounted = (after - old for after, old in zip(books(rig), before, strict=True))
    look_flop = h100().worst_nominal_flop_per_s * rig.settings.sample_interval_ms // 1000
    assert wound_down > look_flop
    assert drained > look_flop // 4
    # A look that spans the freeze is one measurement: it goes where it began. What ran is told to
    # the millisecond.
    ms_flop = h100().worst_nominal_flop_per_s // 1000
    assert wound_down - ms_flop <= allotted <= wound_down + look_flop
    assert allotted + unaccounted == wound_down + drained
    assert unaccounted > 0


@pytest.mark.parametrize("stop", ["emergency", "refusal", "fault"])
def test_law_2_what_ran_before_a_stop_is_booked_under_the_grant(stop: str) -> None:
    rig = running().run(2_500)
    before = books(rig)
    if stop == "emergency":
        rig.order(rig.authority.pause(emergency=True))
    elif stop == "fault":
        rig.carry_out(rig.core.fault("disk.full", "no room", "Free space.", rig.now))
    else:
        outcome = Refusal(reason="budget.spent", detail="spent", way_back="Ask for more.")
        rig.authority.refuses = {WORKLOAD: Verdict(workload=WORKLOAD, outcome=outcome)}
    rig.run_until(LaneState.HALTED)
    assert books(rig)[0] > before[0]
    # A look between the freeze and the end of the queue tells the two apart.
    drain_flop = h100().worst_nominal_flop_per_s * (rig.hardware.jobs[0].drain_ms or 0) // 1000
    assert books(rig)[1] - before[1] <= drain_flop


def test_law_2_a_wind_down_goes_no_further_than_its_ceiling() -> None:
    rig = running()
    rig.authority.ceiling_tflop = rig.lane.book.allotted_tflop + 30_000
    rig.run(5_000)
    ceiling_tflop = rig.lane.ceiling_tflop
    assert ceiling_tflop == rig.authority.ceiling_tflop
    rig.order(rig.authority.pause())
    rig.lane.book.allotted_flop = (ceiling_tflop - 100) * TFLOP
    unaccounted = rig.lane.book.unaccounted_tflop
    rig.run_until(LaneState.HALTED)
    assert rig.lane.book.allotted_tflop == ceiling_tflop
    assert rig.lane.book.unaccounted_tflop > unaccounted


def test_law_2_in_a_wind_down_the_least_standing_ceiling_rules() -> None:
    home, world = GateAuthority("home.example"), GateAuthority("world.example")
    rig = running(home, world).run(1_000)
    world.ceiling_tflop = rig.lane.book.allotted_tflop + 200
    rig.order(home.pause(), home)
    rig.run_until(LaneState.HALTED)
    assert rig.lane.book.allotted_tflop <= world.ceiling_tflop


def test_law_2_behind_its_expiry_a_grant_covers_no_wind_down() -> None:
    rig = running().run(1_000)
    rig.network = cut
    rig.order(rig.authority.pause())
    rig.pass_time(rig.now_ms + rig.authority.policy.lifetime_ms)
    rig.order(rig.authority.pause())
    allotted = rig.lane.book.allotted_flop
    rig.core.samples(rig.hardware.sample(), rig.now)
    assert rig.lane.book.allotted_flop == allotted


def test_law_2_after_a_restart_no_grant_covers_anything() -> None:
    rig = running().run(1_000)
    rig.order(rig.authority.pause())
    rig.network = cut
    rig.restart()
    allotted = rig.lane.book.allotted_flop
    rig.run(5_000)
    assert rig.lane.book.allotted_flop == allotted


def test_law_3_counters_of_a_chip_cut_into_instances_are_no_base_after_a_restart() -> None:
    rig = running().run(10_000)
    assert decode_chip_row(meter_of(rig).encoded_row()).counters
    (sample,) = rig.hardware.sample()
    later = replace(sample, taken_ms=sample.taken_ms + 1_000, mig=True)
    (part,) = meter_of(rig).look(later)
    assert part.gap
    assert part.total.nominal >= h100().worst_nominal_flop_per_s
    assert not decode_chip_row(meter_of(rig).encoded_row()).counters


def test_law_3_a_crash_loses_no_flop() -> None:
    rig = running()
    for _ in range(20):
        rig.run(1_700)
        rig.restart()
        rig.core.samples(rig.hardware.sample(), rig.now)
        assert charged_flop(rig) >= rig.hardware.nominal_flop(0)


def test_law_3_a_reboot_is_charged_from_the_last_report_on() -> None:
    rig = running().run(10_000)
    last = rig.last_report()
    away_ms = 3_600_000
    since_ms = rig.now_ms - last.interval_end_ms
    before = last.lanes[0].unaccounted_tflop * TFLOP
    rig.restart(boot_id=REBOOTED, away_ms=away_ms)
    charged = rig.lane.book.unaccounted_flop - before
    assert charged >= h100().worst_nominal_flop_per_s * (since_ms + away_ms) // 1000


def test_law_3_a_reboot_is_charged_before_the_first_report_leaves() -> None:
    # Else a gate that dies between its first report and its first look would forget it.
    rig = running().run(10_000)
    rig.network = cut
    rig.restart(boot_id=REBOOTED, away_ms=3_600_000)
    rig.carry_out(rig.core.handle_timer(rig.now))
    assert rig.done(KeepReport)
    hour = h100().worst_nominal_flop_per_s * 3_600
    assert rig.last_report().lanes[0].unaccounted_tflop >= hour // TFLOP
    rig.restart()
    rig.core.samples(rig.hardware.sample(), rig.now)
    assert charged_flop(rig) >= hour


def test_law_3_a_sample_that_comes_late_charges_nothing_twice() -> None:
    rig = running().run(10_000)
    rig.core.asked(rig.now)
    rig.pass_time(rig.now_ms + 2_000)
    late = rig.hardware.sample()
    rig.pass_time(rig.now_ms + 3_500)
    rig.silent = True
    rig.run(10)
    assert meter_of(rig).covered_until_ms > late[0].taken_ms, "the silence is charged"
    rig.carry_out(rig.core.samples(late, rig.now))
    rig.pass_time(rig.now_ms + 500)
    rig.carry_out(rig.core.samples(rig.hardware.sample(), rig.now))
    assert metered_ms(rig) == rig.now_ms - START_MS


def test_law_3_an_older_sample_is_no_base_for_the_next() -> None:
    rig = running().run(10_000)
    first = rig.hardware.sample()
    rig.pass_time(rig.now_ms + 700)
    for samples in (rig.hardware.sample(), first):
        rig.carry_out(rig.core.samples(samples, rig.now))
    rig.pass_time(rig.now_ms + 700)
    rig.carry_out(rig.core.samples(rig.hardware.sample(), rig.now))
    assert metered_ms(rig) == rig.now_ms - START_MS


def test_law_3_totals_of_a_workload_that_is_configured_no_more_stay() -> None:
    rig = running().run(10_000)
    rig.core.samples(rig.hardware.sample(), rig.now)
    before = rig.last_report().lanes[0]
    rig.settings = replace(rig.settings, lanes=(LaneSetting(workload="run-8", chips=(0,)),))
    rig.restart().run(10_000)
    lanes = {lane.workload: lane for lane in rig.last_report().lanes}
    assert lanes[WORKLOAD].total.nominal_tflop >= before.total.nominal_tflop
    assert lanes[WORKLOAD].allotted_tflop >= before.allotted_tflop
    assert lanes[WORKLOAD].chips == ()
    request = rig.last_report().request
    assert request is None or [one.workload for one in request.lanes] == ["run-8"]
    rig.settings = replace(rig.settings, lanes=(LaneSetting(workload=WORKLOAD, chips=(0,)),))
    rig.restart().run_until(LaneState.RUNNING)
    assert rig.lane.book.allotted_tflop >= before.allotted_tflop


def test_law_3_totals_count_from_enrolment_on() -> None:
    rig = GateRig()
    rig.hardware.start(pid=1)
    rig.run(600_000)
    rig.enrol()
    lane = rig.last_report().lanes[0]
    assert lane.total.high_tflop == 0
    rig.run(10_000)
    covered_ms = meter_of(rig).covered_until_ms
    assert metered_ms(rig) == covered_ms - decode_report(rig.reports[0].payload).interval_start_ms


def test_law_3_asking_for_a_certificate_again_resets_nothing() -> None:
    rig = running().run(10_000)
    total = rig.lane.book.total
    rig.core.enrol(rig.authority.name, COURIER_KEY.spki, rig.now)
    assert rig.lane.book.total == total
    assert total.nominal > 0


def test_law_3_counters_that_go_back_are_charged() -> None:
    rig = running().run(10_000)
    before = rig.lane.book.gap.nominal
    rig.pass_time(rig.now_ms + 1_000)
    sample = rig.hardware.sample()[0]
    assert sample.cycles is not None
    cycles = replace(sample.cycles, hmma=0, mma=0)
    rig.core.samples([replace(sample, cycles=cycles)], rig.now)
    assert rig.lane.book.gap.nominal - before >= h100().worst_nominal_flop_per_s


def test_law_3_a_driver_that_lists_no_chips_is_charged_for_all() -> None:
    rig = running(base=settings(2)).run(10_000)
    nothing: list[ChipSample] = []
    rig.pass_time(rig.now_ms + 1_000)
    before = rig.lane.book.gap.nominal
    rig.core.samples(nothing, rig.now)
    assert rig.lane.book.gap.nominal - before >= 2 * h100().worst_nominal_flop_per_s


def test_law_3_reports_never_go_back() -> None:
    rig = running()
    for step in range(12):
        rig.run(3_000)
        if step % 3 == 2:
            rig.restart(boot_id=bytes([step] * 16) if step % 2 else None, away_ms=500)
    seen: tuple[int, ...] = (0, 0, 0, 0, 0)
    for envelope in rig.reports:
        lane = decode_report(envelope.payload).lanes[0]
        now = (
            lane.total.low_tflop,
            lane.total.nominal_tflop,
            lane.total.high_tflop,
            lane.allotted_tflop,
            lane.unaccounted_tflop,
        )
        assert all(after >= before for before, after in zip(seen, now, strict=True))
        seen = now


def test_law_3_time_between_the_admission_and_the_first_look_is_charged() -> None:
    """A gate that was started anew while it waited for its admission has looked at nothing yet."""
    rig = GateRig()
    asked = rig.ask(rig.authority)
    rig.silent = True
    rig.restart()
    rig.admit(rig.authority, asked)
    rig.pass_time(rig.now_ms + 3_000)
    rig.carry_out(rig.core.samples(rig.hardware.sample(), rig.now))
    assert rig.lane.book.total.nominal >= h100().worst_nominal_flop_per_s * 3


def test_law_3_a_restart_before_the_admission_forgets_nothing() -> None:
    """The authority counts from the enrolment on, however long its answer takes."""
    rig = GateRig()
    rig.hardware.start(pid=1)
    rig.run(2_000)
    before_flop = rig.hardware.nominal_flop(0)
    asked = rig.ask(rig.authority)
    rig.run(600_000)
    rig.restart(away_ms=3_000).run(300_000)
    rig.admit(rig.authority, asked)
    rig.run(2_000)
    did_flop = rig.hardware.nominal_flop(0) - before_flop
    assert charged_flop(rig) >= rig.lane.book.total.nominal >= did_flop
    most_flop = did_flop + h100().worst_nominal_flop_per_s * 20
    assert rig.lane.book.total.nominal <= most_flop, "and no hours are charged at the peak"


def test_law_3_a_gate_that_dies_right_after_its_enrolment_owes_the_time() -> None:
    rig = GateRig()
    rig.hardware.start(pid=1)
    rig.run(2_000)
    asked = rig.ask(rig.authority)
    first = decode_report(rig.reports[0].payload)
    rig.hardware = Hardware(1, rig.now_ms + 30_000)  # counters of before are gone
    rig.restart(away_ms=30_000).run(1_000)
    rig.admit(rig.authority, asked)
    rig.run(1_000)
    owed_flop = h100().worst_nominal_flop_per_s * 30
    assert rig.lane.book.total.nominal >= owed_flop
    assert decode_report(rig.reports[1].payload).interval_start_ms == first.interval_end_ms


def test_law_3_until_a_policy_says_which_figure_the_highest_is_charged() -> None:
    rig = GateRig()
    rig.hardware.start(pid=1)
    rig.ask(rig.authority)
    rig.run(10_000)
    assert rig.lane.book.unaccounted_flop == rig.lane.book.total.high > 0


def test_before_an_admission_reports_say_that_nobody_holds_the_host() -> None:
    rig = GateRig()
    rig.ask(rig.authority)
    rig.run(2_000)
    report = rig.last_report()
    assert (report.lanes[0].stop_reason, report.quotes) == ("host.unenrolled", ())
    assert report.request is None


def test_law_3_a_reading_is_told_however_often_looks_come() -> None:
    """Looks of 200 ms are too short for it; a job that starts then is not priced as unscaled."""
    (chip, *_) = settings().chips
    one, spec, uuid = ChipMeter(0, chip, 0), chip.spec, chip.identity.uuid
    elapsed = busy = 0
    for step in range(12):
        idle = step < 6
        mhz = 345 if idle else 1980
        # The clock rises in the middle of the seventh look.
        mean_mhz = (345 + 1980) // 2 if step == 6 else mhz
        elapsed += mean_mhz * 1000 * 200 * spec.sm_count
        busy += 0 if idle else 1980 * 1000 * 100 * spec.sm_count
        cycles = replace(ZERO, elapsed=elapsed, active=busy, mma=busy, hmma=busy)
        parts = one.look(sample((step + 1) * 200, cycles, uuid=uuid, sm_clock_mhz=mhz))
        found = [finding.id for part in parts for finding in part.findings]
        assert "meter.counter.unscaled" not in found
    row = decode_chip_row(one.encoded_row())
    (pipe,) = row.pipes
    assert pipe.total.nominal_tflop == busy * spec.rates.half_tensor // TFLOP
