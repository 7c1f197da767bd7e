"""Time in a simulated cluster jumps from event to event: nothing in it waits for the real clock."""

import sys
import time
from types import FrameType

from flopgate_sim.campaign.outcome import Job
from flopgate_sim.planted.worlds import lifted
from flopgate_sim.world.run import run_plan


def test_no_world_sleeps_where_a_real_child_waits_for_a_clock_to_come_down() -> None:
    slept: list[str] = []

    def hear(frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and called is time.sleep:
            slept.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(hear)
    try:
        outcome = run_plan(lifted(1), Job(scenario="tiny-faults", seed=1))
    finally:
        sys.setprofile(before)
    assert outcome.counts["rungs_undone"]
    assert slept == []
