"""Laws 2 and 3 under every order of looks, losses, silences, crashes and reboots."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_agent.gate.actions import Thaw
from flopgate_agent.gate.settings import TFLOP
from flopgate_proto.codec import decode_chip_row, decode_report
from flopgate_proto.values import LaneReport, LaneState
from tests.support.gate_hardware import h100
from tests.support.gate_rig import GateRig
from tests.support.gate_rig import settings as gate_settings

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("run", "run", "silence", "lose", "find", "hiccup", "late", "crash", "reboot", "stop")
        ),
        st.integers(1, 9_000),
    ),
    min_size=1,
    max_size=14,
)


class Book:
    """What must hold of one host, whatever happens to it."""

    def __init__(self, rig: GateRig) -> None:
        self.rig = rig
        self.origin_ms = [chip.covered_until_ms for chip in rig.core.meter.chips]
        self.metered_ms = [self._metered(chip) for chip in (0, 1)]
        self.reports = 0
        self.boots = 0
        self.seen: LaneReport | None = None

    def _metered(self, chip: int) -> int:
        row = decode_chip_row(self.rig.core.meter.chips[chip].encoded_row())
        return row.measured_ms + row.gap_ms

    def crash(self, away_ms: int, boot_id: bytes | None = None) -> None:
        """The gate, or its host, dies and comes back: no time falls out."""
        before = [self._metered(chip) for chip in (0, 1)]
        self.rig.restart(boot_id=boot_id, away_ms=away_ms)
        for chip in (0, 1):
            meter = self.rig.core.meter.chips[chip]
            metered_ms = self._metered(chip)
            if boot_id is None:
                # What the ledger did not say is owed again.
                owed_ms = meter.covered_until_ms - self.origin_ms[chip]
                assert metered_ms - self.metered_ms[chip] >= owed_ms
            else:
                assert metered_ms >= before[chip] + away_ms
            self.origin_ms[chip] = meter.covered_until_ms
            self.metered_ms[chip] = metered_ms

    def check(self) -> None:
        """Time is whole, totals go forward, and the allotted book stays under its ceiling."""
        for chip in (0, 1):
            meter = self.rig.core.meter.chips[chip]
            elapsed_ms = meter.covered_until_ms - self.origin_ms[chip]
            assert self._metered(chip) - self.metered_ms[chip] == elapsed_ms
        for envelope in self.rig.reports[self.reports :]:
            self._check_report(decode_report(envelope.payload).lanes[0])
        self.reports = len(self.rig.reports)
        book = self.rig.lane.book
        assert book.allotted_flop <= self.rig.highest_ceiling_tflop * TFLOP

    def _check_report(self, lane: LaneReport) -> None:
        last, self.seen = self.seen, lane
        assert lane.allotted_tflop <= self.rig.highest_ceiling_tflop
        if last is not None:
            assert lane.total.low_tflop >= last.total.low_tflop
            assert lane.total.nominal_tflop >= last.total.nominal_tflop
            assert lane.total.high_tflop >= last.total.high_tflop
            assert lane.allotted_tflop >= last.allotted_tflop
            assert lane.unaccounted_tflop >= last.unaccounted_tflop


def look(rig: GateRig) -> None:
    """One look at everything, now."""
    rig.carry_out(rig.core.samples(rig.hardware.sample(), rig.now))


def charged_flop(rig: GateRig) -> int:
    book = rig.lane.book
    return book.allotted_flop + book.unaccounted_flop


def do(rig: GateRig, book: Book, step: str, span_ms: int) -> None:
    """One thing that happens to a host."""
    match step:
        case "run":
            rig.run(span_ms)
        case "silence":
            rig.silent = True
            rig.run(span_ms * 2)
            rig.silent = False
        case "lose":
            rig.hardware.lost.add(span_ms % 2)
            rig.run(span_ms)
        case "find":
            rig.hardware.lost.clear()
            rig.run(span_ms)
        case "hiccup":
            rig.hardware.gpm = not rig.hardware.gpm
            rig.run(span_ms)
        case "late":
            samples = rig.hardware.sample()
            rig.run(span_ms)
            rig.carry_out(rig.core.samples(samples, rig.now))
        case "crash":
            book.crash(span_ms)
        case "reboot":
            book.boots += 1
            book.crash(span_ms, book.boots.to_bytes(16, "big"))
            start(rig)
        case _:
            for job in rig.hardware.jobs:
                job.gone_ms = job.gone_ms or rig.now_ms
            rig.run(span_ms)


def start(rig: GateRig) -> None:
    """Work on both chips."""
    for chip in (0, 1):
        rig.hardware.start(pid=10 + chip, chip=chip, drain_ms=300)


@settings(max_examples=80)
@given(steps=STEPS)
def test_law_3_every_interval_of_every_chip_is_measured_or_charged(
    steps: list[tuple[str, int]],
) -> None:
    rig = GateRig(base=gate_settings(2))
    start(rig)
    look(rig)
    rig.enrol().run_until(LaneState.RUNNING)
    book = Book(rig)
    for step, span_ms in steps:
        do(rig, book, step, span_ms)
        book.check()
    rig.hardware.lost.clear()
    look(rig)
    book.check()


@settings(max_examples=60)
@given(steps=STEPS)
def test_law_3_what_ran_is_in_the_books(steps: list[tuple[str, int]]) -> None:
    rig = GateRig(base=gate_settings(2))
    start(rig)
    look(rig)
    rig.enrol().run_until(LaneState.RUNNING)
    book = Book(rig)
    # Work before enrolment counts for nobody; a reboot forgets what hardware counted before.
    base = sum(rig.hardware.nominal_flop(chip) for chip in (0, 1)) - charged_flop(rig)
    earlier = 0
    for step, span_ms in steps:
        ran = sum(rig.hardware.nominal_flop(chip) for chip in (0, 1))
        do(rig, book, step, span_ms)
        if step == "reboot":
            earlier += ran
        look(rig)
        ran = sum(rig.hardware.nominal_flop(chip) for chip in (0, 1))
        assert charged_flop(rig) >= earlier + ran - base


@settings(max_examples=40)
@given(
    ceilings=st.lists(st.integers(0, 60_000), min_size=1, max_size=8),
    drain_ms=st.sampled_from((20, None, 4_000)),
)
def test_law_2_the_host_never_charges_more_than_it_was_allotted(
    ceilings: list[int], drain_ms: int | None
) -> None:
    rig = GateRig()
    rig.hardware.start(pid=1, drain_ms=drain_ms)
    rig.enrol()
    for ceiling_tflop in ceilings:
        rig.authority.ceiling_tflop = ceiling_tflop
        rig.run(6_000)
        book = rig.lane.book
        assert book.allotted_flop <= rig.highest_ceiling_tflop * TFLOP
        permit = rig.core.authorities[rig.authority.name].permit
        if permit is not None:
            assert permit.ceilings == {rig.lane.workload: rig.ceilings[-1]}, "replaced, not added"
    rig.authority.ceiling_tflop = 0
    rig.run(40_000)
    stopped = rig.hardware.work_ms[0]
    rig.run(40_000)
    assert rig.hardware.work_ms[0] == stopped


def may_run(rig: GateRig) -> bool:
    """Whether the lane is let run now."""
    return rig.state is LaneState.RUNNING


@settings(max_examples=40)
@given(headroom_s=st.integers(1, 60), drain_ms=st.sampled_from((20, 1_900, None)))
def test_law_2_the_stop_begins_while_what_is_left_covers_it(
    headroom_s: int, drain_ms: int | None
) -> None:
    rig = GateRig()
    ceiling_tflop = h100().worst_high_flop_per_s * headroom_s // TFLOP
    rig.authority.ceiling_tflop = ceiling_tflop
    rig.enrol().run(2_000)
    if not may_run(rig):
        # Wind-down, a stall, drain and bound do not fit: it never starts.
        assert headroom_s <= 20
        assert not rig.done(Thaw)
        return
    charged_before = rig.lane.book.unaccounted_flop
    rig.hardware.start(pid=1, drain_ms=drain_ms)
    rig.run(130_000)
    assert not may_run(rig)
    assert rig.hardware.nominal_flop(0) <= ceiling_tflop * TFLOP
    # All of it under the grant: the stop needed nothing from beyond the ceiling.
    assert rig.lane.book.unaccounted_flop == charged_before
