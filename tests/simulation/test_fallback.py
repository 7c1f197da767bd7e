"""A fallback in the simulated cluster: hosts stand, run without who is gone, and heed it again."""

from __future__ import annotations

from dataclasses import fields

from flopgate_proto.values import LaneState
from flopgate_sim.adversaries.stage import at_s, broken, staged
from flopgate_sim.planted.order_worlds import fell_silent
from flopgate_sim.planted.worlds import OTHER_AUTHORITY
from flopgate_sim.world.world import World

MOMENTS_S = (1_400, 1_700, 2_390)
"""Its permits have run out; its fallback counts; it is back, and has paused."""


def _states(world: World) -> set[LaneState]:
    cores = [host.runner.core for host in world.hosts if host.runner is not None]
    return {lane.state for core in cores for lane in core.lanes.values()}


def test_hosts_stand_then_run_without_who_is_gone_and_heed_it_again() -> None:
    plan = fell_silent(1)
    seen: list[set[LaneState]] = []
    with staged(**{field.name: getattr(plan, field.name) for field in fields(plan)}) as world:
        for moment_s in MOMENTS_S:
            at_s(world, moment_s, lambda: seen.append(_states(world)))
        world.run()
        assert broken(world) == ""
        assert seen == [{LaneState.HALTED}, {LaneState.RUNNING}, {LaneState.HALTED}]
        assert all(host.truth.seats.ever_out == {OTHER_AUTHORITY} for host in world.hosts)
        assert all(host.truth.seats.back_us for host in world.hosts)
