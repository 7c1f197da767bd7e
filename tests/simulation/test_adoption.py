"""A fork ends by an order of officers: the host goes on from the report that they adopt."""

from __future__ import annotations

import pytest

from flopgate_governor.views.adoptable import adoptable
from flopgate_proto.limits import NONCE_BYTES
from flopgate_proto.values import Adoption, LaneState
from flopgate_sim.adversaries.stage import at_s, broken, staged, states
from flopgate_sim.world.plan import Fault
from flopgate_sim.world.world import World

FORKED_S, ADOPTED_S = 900, 1_200


def _adopt(world: World) -> None:
    governor, host_id = world.governors[0], world.hosts[0].host_id
    if governor.state is None:
        raise LookupError(governor.name)
    sequence, head, where = adoptable(governor.state, host_id)[-1]
    assert where == "kept as evidence"
    order = Adoption(
        authority=governor.name,
        host_id=host_id,
        sequence=sequence,
        head=head,
        nonce=bytes(NONCE_BYTES),
        reason="disk restored",
    )
    assert governor.order(governor.officers.sign(order))


@pytest.mark.parametrize("adopts", [True, False])
def test_law_4_a_host_whose_ledger_was_put_back_runs_again_once_officers_adopt_it(
    *, adopts: bool
) -> None:
    back = Fault(at_ms=600_000, kind="ledger_restore", target="host-0", span_ms=300_000)
    with staged(faults=(back,)) as world:
        stood: list[set[LaneState]] = []
        at_s(world, ADOPTED_S - 1, lambda: stood.append(states(world.hosts[0])))
        if adopts:
            at_s(world, ADOPTED_S, lambda: _adopt(world))
        world.run()
        assert not broken(world)
        assert stood == [{LaneState.HALTED}]
        assert (states(world.hosts[0]) == {LaneState.RUNNING}) is adopts
