"""A host that lost its ledger enrols anew: its old chain is closed, all that it could use spent."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from flopgate_proto.values import Budget, LaneState, Scope, ScopeKind
from flopgate_sim.adversaries.stage import at_s, broken, reasons, staged, states
from flopgate_sim.planted import BUGS, planted
from flopgate_sim.planted.ruling_worlds import TIGHT_TFLOP
from flopgate_sim.planted.worlds import POLICY
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.plan import Act, Fault
from flopgate_sim.world.world import World

LOST_S, ANEW_S = 600, 630
WIDE = replace(POLICY, closures_max=1, closures_span_ms=86_400_000)
TIGHT = replace(
    WIDE, budgets=(Budget(scope=Scope(ScopeKind.CLUSTER, "alpha"), cap_tflop=TIGHT_TFLOP),)
)

CLOSING = Act(at_ms=0, act="close", host="host-0")


def _clone(world: World) -> None:
    world.clone(world.hosts[0], new_key=True)


def _reimaged(world: World, clones: list[Host]) -> None:
    """The chips come back in a machine that knows nothing, with a key of its own."""
    at_s(world, LOST_S, lambda: world.hosts[0].power_off("it is imaged anew", clean=False))
    at_s(world, ANEW_S, lambda: clones.append(world.clone(world.hosts[0], new_key=True)))


def test_law_4_a_host_that_lost_its_ledger_runs_under_another_key() -> None:
    with staged(policy=WIDE, spare_places=1) as world:
        clones: list[Host] = []
        _reimaged(world, clones)
        world.run()
        assert not broken(world)
        assert states(clones[0]) == {LaneState.RUNNING}


def test_law_4_policy_allows_so_many_and_then_officers_must_close() -> None:
    none_left = replace(WIDE, closures_max=0)
    with staged(policy=none_left, spare_places=1) as world:
        clones: list[Host] = []
        _reimaged(world, clones)
        at_s(world, 900, lambda: world.act(CLOSING))
        world.run()
        assert not broken(world)
        assert "enrolment.chip-known" in world.governors[0].truth.turned_away
        assert states(clones[0]) == {LaneState.RUNNING}


@pytest.mark.parametrize("cut", [True, False])
def test_law_4_a_machine_that_goes_on_under_the_old_key_stands(*, cut: bool) -> None:
    """Its chips were enrolled under another: it is granted nothing, and runs out."""
    faults = (Fault(at_ms=590_000, kind="partition", target="host-0", span_ms=200_000),)
    with staged(policy=TIGHT, spare_places=1, faults=faults if cut else ()) as world:
        at_s(world, ANEW_S, partial(_clone, world))
        world.run()
        assert not broken(world)
        assert states(world.hosts[0]) == {LaneState.HALTED}
        assert reasons(world.hosts[0]) & {"permit.expired", "permit.expiring", "permit.none"}


def test_law_2_what_the_old_chain_could_still_use_is_spent() -> None:
    (bug,) = (one for one in BUGS if one.name == "closed-unspent")
    with planted(bug), staged(policy=TIGHT, spare_places=1) as world:
        at_s(world, 300, partial(_clone, world))
        world.run()
        assert broken(world).startswith("law 2")
