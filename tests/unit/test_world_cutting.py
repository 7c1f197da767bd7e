"""Simulated chips that are cut into instances: what their driver shows of them."""

import pytest

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from flopgate_agent.gate.settings import Chip as Enrolled
from flopgate_agent.measured import Flop
from flopgate_proto.chips import load_table
from flopgate_sim.world.hardware import cutting
from flopgate_sim.world.hardware.chips import Chip
from flopgate_sim.world.hardware.machine import Hardware
from flopgate_sim.world.nature.engine import US_PER_MS
from tests.support.statements import chip

SPEC = load_table().by_name["NVIDIA H100 80GB HBM3"]
STEP_MS = 1_000
HOUR_MS = 3_600_000


class Watched:
    """One chip with work on it, and a meter that looks each second."""

    def __init__(self, layout: int) -> None:
        self.chip = Chip(uuid="GPU-1", spec=SPEC, gpm=True, mig=True)
        self.hardware = Hardware([self.chip])
        cutting.cut(self.chip, layout, 0)
        self.now_ms = HOUR_MS
        self.hardware.advance(self.now_ms * US_PER_MS)
        enrolled = Enrolled(identity=chip(uuid=self.chip.uuid), spec=SPEC)
        self.meter = ChipMeter(0, enrolled, self.now_ms)
        self.meter.look(self.sample())
        self.hardware.start((0,), self.now_ms * US_PER_MS)

    def sample(self) -> ChipSample:
        (sample,) = self.hardware.sample(self.now_ms * US_PER_MS, self.now_ms)
        return sample

    def run(self, looks: int) -> tuple[Flop, bool]:
        total, gap = Flop(), False
        for _ in range(looks):
            self.now_ms += STEP_MS
            for part in self.meter.look(self.sample()):
                total, gap = total + part.total, gap or part.gap
        return total, gap


def test_all_work_of_a_chip_that_is_cut_in_halves_is_measured_in_them() -> None:
    watched = Watched(cutting.HALVES)
    total, gap = watched.run(60)
    assert not gap
    assert total.nominal == pytest.approx(watched.chip.flop(), rel=0.005)


def test_what_is_made_anew_between_two_looks_is_charged() -> None:
    watched = Watched(cutting.HALVES)
    before, _ = watched.run(5)
    watched.hardware.advance((watched.now_ms + 700) * US_PER_MS)
    cutting.renew(watched.chip, watched.hardware.now_us)
    charged, gap = watched.run(1)
    assert gap
    assert before.nominal + charged.nominal >= watched.chip.flop()


def test_where_a_driver_shows_none_or_leaves_room_the_rest_is_charged() -> None:
    for layout in (cutting.UNREADABLE, cutting.ROOM):
        watched = Watched(layout)
        total, gap = watched.run(3)
        assert gap
        assert total.nominal >= watched.chip.flop()
