"""In the simulated cluster hosts hold, and report, what their authority says of clusters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest

from flopgate_proto.values import MergeState
from flopgate_sim.adversaries.stage import broken, staged
from flopgate_sim.planted.cluster_worlds import claimed, in_parts
from flopgate_sim.world.plan import WorldPlan

ALPHA, BETA = "alpha", "beta"


@pytest.mark.parametrize(
    ("plan_of", "state", "others", "finding"),
    [
        (in_parts, MergeState.FOUND, {ALPHA: BETA, BETA: ALPHA}, "cluster.merge.decided"),
        (claimed, MergeState.WAITING, {ALPHA: "", BETA: ""}, "cluster.merge.waits"),
    ],
)
def test_hosts_of_both_ends_hold_it_and_report_it(
    plan_of: Callable[[int], WorldPlan], state: MergeState, others: dict[str, str], finding: str
) -> None:
    plan = plan_of(1)
    with staged(**{field.name: getattr(plan, field.name) for field in fields(plan)}) as world:
        world.run()
        assert broken(world) == ""
        for host in world.hosts:
            assert host.runner is not None
            core = host.runner.core
            held = core.chain.cluster_notices.held(core.running_ms)
            assert {(one.cluster, one.other, one.state) for one in held} >= {
                (host.plan.cluster, others[host.plan.cluster], state)
            }
            assert finding in host.truth.told_us
