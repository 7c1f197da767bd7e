"""A gate with a license and a reserve side by side: which is spent, and what spends neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopgate_agent.gate.authorities.license import LicenseDesk
from flopgate_agent.gate.lanes.allowance import Allowed
from flopgate_proto.errors import PeerError
from flopgate_proto.values import LicenseState
from flopgate_proto.values.common import LaneState
from flopgate_sim.world.hardware.tpm import FakeTpm
from tests.support.fixed import WORKLOAD
from tests.support.gate_license_rig import (
    HOUR_MS,
    LICENSES,
    SPAN_MS,
    STEP_MS,
    LicenseRig,
    issue,
    opening,
    reserve_of,
)
from tests.support.gate_rig import at_once, cut

RESERVE_TFLOP, LICENSE_TFLOP = 250_000, 200_000
STEP_TFLOP = 2_376 * STEP_MS // 1000


@pytest.fixture(params=["software", "tpm"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> LicenseRig:
    return LicenseRig(tmp_path, tpm=FakeTpm() if request.param == "tpm" else None)


class Sealed:
    """A reserve that is installed, and how to open it."""

    def __init__(self, rig: LicenseRig, headroom_tflop: int = RESERVE_TFLOP) -> None:
        request = rig.request(reserve=True)
        self.rig = rig
        self.found = issue(
            rig.authority, request, approval=reserve_of(request), headroom_tflop=headroom_tflop
        )
        rig.install(self.found)

    def open(self) -> None:
        """For long enough nobody answered, and its openers sign."""
        authority = self.rig.core.authorities[self.rig.authority.name]
        authority.heard_running_ms = self.rig.core.running_ms - HOUR_MS
        self.rig.carry_out(self.rig.core.open_reserve(opening(self.found), self.rig.now))


def desks(rig: LicenseRig) -> tuple[LicenseDesk, LicenseDesk]:
    return rig.core.authorities[rig.authority.name].desks


def states(rig: LicenseRig) -> tuple[LicenseState, LicenseState]:
    """Of the license and of the reserve, at the gate."""
    license_, reserve = desks(rig)
    return license_.standing.state, reserve.standing.state


def quoted(rig: LicenseRig) -> tuple[LicenseState | None, LicenseState | None]:
    """The same, as the newest report says."""
    quote = rig.last_report().quotes[0]
    told = (quote.license, quote.reserve)
    return (
        None if told[0] is None else told[0].state,
        None if told[1] is None else told[1].state,
    )


def runs_by(rig: LicenseRig) -> str:
    """What lets the lane run now."""
    permission = rig.core.permissions[WORKLOAD]
    if not isinstance(permission, Allowed):
        return ""
    if not permission.licensed_by:
        return "permit"
    return "reserve" if permission.reserve_by else "license"


def left_tflop(rig: LicenseRig) -> int:
    """What is left of the reserve."""
    end_tflop = desks(rig)[1].bound_tflop(WORKLOAD, reserved=False)
    return 0 if end_tflop is None else end_tflop - rig.lane.book.allotted_tflop


HELD, SEALED, OPENED = LicenseState.HELD, LicenseState.SEALED, LicenseState.OPENED
NONE = LicenseState.NONE


def test_a_license_leaves_the_sealed_reserve_as_it_is(rig: LicenseRig) -> None:
    Sealed(rig)
    rig.licensed(headroom_tflop=10 * LICENSE_TFLOP)
    rig.run(15_000)
    for boot in (False, True):
        assert states(rig) == (HELD, SEALED)
        assert quoted(rig) == (HELD, SEALED)
        rig.again(boot=boot)
        rig.run_until(LaneState.RUNNING)
        rig.run(15_000)
        assert runs_by(rig) == "license"


def test_law_5_nothing_but_the_reserve_spends_it(rig: LicenseRig) -> None:
    Sealed(rig)
    rig.licensed(headroom_tflop=LICENSE_TFLOP)
    for boot in (False, True):
        rig.run(40_000)
        rig.again(boot=boot)
        assert left_tflop(rig) == RESERVE_TFLOP
    rig.run(SPAN_MS)
    assert rig.state is LaneState.HALTED
    assert (states(rig), quoted(rig)) == ((NONE, SEALED), (NONE, SEALED))
    rig.network = at_once
    rig.run(60_000)
    assert runs_by(rig) == "permit"
    assert left_tflop(rig) == RESERVE_TFLOP
    rig.again()
    rig.run(20_000)
    assert left_tflop(rig) == RESERVE_TFLOP


def test_a_license_is_spent_before_an_opened_reserve_which_takes_over_without_a_stop(
    rig: LicenseRig,
) -> None:
    before_tflop = rig.truth_tflop
    sealed = Sealed(rig)
    rig.licensed(headroom_tflop=LICENSE_TFLOP)
    rig.run(20_000)
    sealed.open()
    rig.run(20_000)
    assert states(rig) == (HELD, OPENED)
    assert runs_by(rig) == "license"
    assert left_tflop(rig) == RESERVE_TFLOP
    actions = len(rig.actions)
    for _ in range(SPAN_MS // 5_000):
        rig.run(5_000)
        if runs_by(rig) == "reserve":
            break
    assert rig.truth_tflop - before_tflop > LICENSE_TFLOP - 2 * STEP_TFLOP
    rig.run(30_000)
    assert states(rig) == (NONE, OPENED)
    done = [type(one).__name__ for _, one in rig.actions[actions:]]
    assert "Freeze" not in done
    assert "Notify" not in done
    assert 0 < left_tflop(rig) < RESERVE_TFLOP
    rig.run(2 * SPAN_MS)
    assert rig.state is LaneState.HALTED
    assert states(rig) == (NONE, NONE)
    assert rig.lane.why is not None
    assert rig.lane.why.reason == "license.used-up"
    used_tflop = rig.truth_tflop - before_tflop
    assert LICENSE_TFLOP < used_tflop <= LICENSE_TFLOP + RESERVE_TFLOP
    assert rig.lane.book.unaccounted_tflop < 2_000


def test_a_license_that_comes_while_a_reserve_runs_goes_first(rig: LicenseRig) -> None:
    Sealed(rig).open()
    rig.run_until(LaneState.RUNNING)
    rig.run(15_000)
    assert runs_by(rig) == "reserve"
    rig.licensed(headroom_tflop=10 * LICENSE_TFLOP)
    assert runs_by(rig) == "license"
    left = left_tflop(rig)
    assert left < RESERVE_TFLOP
    rig.run(30_000)
    assert left_tflop(rig) == left
    rig.again()
    rig.run(5_000)
    # Nothing of it was reserved: a crash takes nothing off.
    assert left_tflop(rig) == left
    assert runs_by(rig) == "license"


def test_a_permit_goes_before_both(rig: LicenseRig) -> None:
    sealed = Sealed(rig)
    rig.licensed(headroom_tflop=10 * LICENSE_TFLOP)
    sealed.open()
    rig.network = at_once
    rig.authority.terms = {"lifetime_ms": 60_000}
    rig.order(rig.authority.policy_order(**LICENSES, lifetime_ms=60_000))
    rig.run(15_000)
    used_ms = [desk.used_ms for desk in desks(rig)]
    rig.run(20_000)
    assert runs_by(rig) == "permit"
    assert [desk.used_ms for desk in desks(rig)] == used_ms
    rig.network = cut
    rig.run(60_000)
    assert runs_by(rig) == "license"
    assert left_tflop(rig) == RESERVE_TFLOP


def test_a_newer_one_replaces_the_older_of_its_kind_alone(rig: LicenseRig) -> None:
    first = Sealed(rig)
    rig.licensed(headroom_tflop=LICENSE_TFLOP)
    Sealed(rig, headroom_tflop=50_000)
    assert states(rig) == (HELD, SEALED)
    assert left_tflop(rig) == 50_000
    with pytest.raises(PeerError, match="over: used up"):
        rig.install(first.found)
    rig.licensed(headroom_tflop=LICENSE_TFLOP)
    rig.run(15_000)
    assert left_tflop(rig) == 50_000
    assert quoted(rig) == (HELD, SEALED)


def test_one_goes_back_and_the_other_stays(rig: LicenseRig) -> None:
    Sealed(rig)
    found = issue(rig.authority, rig.request())
    rig.carry_out(rig.core.return_license(rig.authority.name, rig.now, reserve=True))
    rig.run(15_000)
    assert quoted(rig) == (None, NONE)
    # What was asked for of the other kind may still come.
    rig.install(found)
    Sealed(rig)
    rig.give_back()
    rig.run(40_000)
    assert (states(rig), quoted(rig)) == ((NONE, SEALED), (NONE, SEALED))
    assert rig.lane.why is not None
    assert rig.lane.why.reason == "license.returned"


@pytest.mark.parametrize("boot", [False, True])
def test_law_5_a_crash_costs_an_opened_reserve_at_most_one_step(
    rig: LicenseRig, *, boot: bool
) -> None:
    before_tflop = rig.truth_tflop
    Sealed(rig, headroom_tflop=400_000).open()
    for _ in range(2):
        rig.run_until(LaneState.RUNNING)
        rig.run(20_000)
        left = left_tflop(rig)
        rig.again(boot=boot, away_ms=100)
        assert left - STEP_TFLOP - 1 <= left_tflop(rig) <= left
    rig.run(2 * SPAN_MS)
    assert rig.state is LaneState.HALTED
    assert rig.truth_tflop - before_tflop <= 400_000


def test_a_retired_host_gives_both_back(rig: LicenseRig) -> None:
    Sealed(rig)
    rig.licensed()
    rig.run(20_000)
    rig.carry_out(rig.core.retire(rig.now))
    rig.run(30_000)
    assert rig.core.chain.ended
    assert quoted(rig) == (NONE, NONE)
