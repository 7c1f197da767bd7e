"""A reserve of an authority that loses its say and regains it: what ran meanwhile was drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopgate_agent.gate.authorities.license import LicenseDesk
from flopgate_agent.gate.lanes.allowance import Allowed
from flopgate_proto.values import LicenseState
from flopgate_proto.values.common import LaneState
from tests.support.fixed import WORKLOAD
from tests.support.gate_authority import GateAuthority
from tests.support.gate_license_rig import HOUR_MS, LicenseRig, issue, opening, reserve_of
from tests.support.gate_rig import at_once, cut
from tests.unit.test_gate_seats import has_say, seats

RESERVE_TFLOP = 250_000
RUN_MS = 40_000
LOOK_TFLOP = 3_000
"""What the chip counts between two looks, and a little more."""


class Treaty:
    """Two authorities, one of which gave a reserve; the host runs by both."""

    def __init__(self, folder: Path) -> None:
        self.world = GateAuthority("world.example")
        self.rig = LicenseRig(folder, self.world)
        self.home = self.rig.authority
        self.give()
        self.rig.network = at_once
        self.rig.run(30_000)
        self.version = 0

    def give(self) -> None:
        """A reserve is asked for, given and installed."""
        request = self.rig.request(reserve=True)
        self.found = issue(
            self.home, request, approval=reserve_of(request), headroom_tflop=RESERVE_TFLOP
        )
        self.rig.install(self.found)

    def say(self, *recipients: GateAuthority) -> None:
        """Both let these only receive."""
        self.version += 1
        for one in (self.home, self.world):
            self.rig.order(seats(one, *recipients, version=self.version), one)
        self.rig.run(1_000)
        assert has_say(self.rig, self.home) is (self.home not in recipients)

    def run(self, span_ms: int = RUN_MS) -> int:
        """What is let run for so long, TFLOP."""
        before_tflop = self.rig.lane.book.allotted_tflop
        self.rig.run_until(LaneState.RUNNING)
        self.rig.run(span_ms)
        assert isinstance(self.rig.core.permissions[WORKLOAD], Allowed)
        return self.rig.lane.book.allotted_tflop - before_tflop

    @property
    def left_tflop(self) -> int:
        """Of the reserve."""
        end_tflop = self.desk.bound_tflop(WORKLOAD, reserved=False)
        return 0 if end_tflop is None else end_tflop - self.rig.lane.book.allotted_tflop

    @property
    def desk(self) -> LicenseDesk:
        """Of the reserve."""
        return self.rig.core.authorities[self.home.name].reserve_desk


@pytest.fixture
def treaty(tmp_path: Path) -> Treaty:
    return Treaty(tmp_path)


def test_law_5_what_runs_without_its_say_draws_a_reserve(treaty: Treaty) -> None:
    assert treaty.run() > LOOK_TFLOP
    assert treaty.left_tflop == RESERVE_TFLOP
    treaty.say(treaty.world)
    treaty.run()
    assert treaty.left_tflop == RESERVE_TFLOP, "it is another's seat"
    treaty.say()
    treaty.say(treaty.home)
    ran_tflop = treaty.run()
    treaty.say()
    left_tflop = treaty.left_tflop
    assert RESERVE_TFLOP - ran_tflop - 3 * LOOK_TFLOP <= left_tflop <= RESERVE_TFLOP - ran_tflop
    treaty.run()
    assert treaty.left_tflop == left_tflop


@pytest.mark.parametrize("boot", [False, True])
def test_law_5_and_goes_on_so_over_a_restart(treaty: Treaty, *, boot: bool) -> None:
    treaty.say(treaty.home)
    ran_tflop = treaty.run()
    treaty.rig.again(boot=boot)
    assert treaty.left_tflop <= RESERVE_TFLOP
    ran_tflop += treaty.run()
    treaty.say()
    assert treaty.left_tflop <= RESERVE_TFLOP - ran_tflop
    left_tflop = treaty.left_tflop
    treaty.rig.again(boot=boot)
    treaty.run()
    assert treaty.left_tflop == left_tflop


def test_a_reserve_that_is_drawn_to_its_end_is_over(treaty: Treaty) -> None:
    treaty.say(treaty.home)
    for _ in range(RESERVE_TFLOP // LOOK_TFLOP):
        treaty.run()
        if treaty.desk.license is None:
            break
    treaty.run(2_000)
    standing = treaty.desk.standing
    assert (standing.state, standing.ended) == (LicenseState.NONE, "license.used-up")
    treaty.say()
    treaty.run()
    assert treaty.left_tflop <= 0


def test_law_5_one_that_comes_while_its_authority_has_no_say_is_drawn_from_then_on(
    treaty: Treaty,
) -> None:
    treaty.say(treaty.home)
    treaty.run()
    treaty.give()
    ran_tflop = treaty.run()
    treaty.say()
    left_tflop = treaty.left_tflop
    assert RESERVE_TFLOP - ran_tflop - 3 * LOOK_TFLOP <= left_tflop <= RESERVE_TFLOP - ran_tflop


def test_law_5_also_where_it_lost_its_say_while_a_fault_held_everything(treaty: Treaty) -> None:
    rig = treaty.rig
    rig.silent = True
    rig.run_until(LaneState.FROZEN)
    treaty.say(treaty.home)
    rig.silent = False
    ran_tflop = treaty.run()
    rig.again()
    assert treaty.left_tflop <= RESERVE_TFLOP - ran_tflop + LOOK_TFLOP


@pytest.mark.parametrize("used", [False, True])
def test_law_5_an_orderly_stop_gives_back_what_a_drawn_reserve_had_reserved(
    treaty: Treaty, *, used: bool
) -> None:
    """It was opened and let the host run, until its authority lost its say."""
    rig = treaty.rig
    treaty.say(treaty.world)
    rig.network = cut
    rig.run_until(LaneState.HALTED)
    for one in rig.core.authorities.values():
        one.heard_running_ms = rig.core.running_ms - HOUR_MS
    rig.carry_out(rig.core.open_reserve(opening(treaty.found), rig.now))
    rig.run_until(LaneState.RUNNING)
    rig.run(20_000)
    treaty.say(treaty.home)
    if used:
        rig.network = at_once
        treaty.run()
    rig.carry_out(rig.core.fault("gate.stopped", "told to stop", "Start it again.", rig.now))
    rig.run(15_000)
    assert treaty.desk.drawn
    left_tflop = treaty.left_tflop
    rig.carry_out(rig.core.settle_reserved(rig.now))
    rig.network = cut
    rig.again(boot=True)
    treaty.say()
    assert left_tflop - 1 <= treaty.left_tflop <= left_tflop
