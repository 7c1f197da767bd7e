"""Attacks with an online key that officers have revoked."""

from __future__ import annotations

from typing import Final

from flopgate_proto.values import LaneState
from flopgate_sim.adversaries.stage import (
    Played,
    at_s,
    broken,
    evidence,
    staged,
    stands,
    states,
)
from flopgate_sim.planted.worlds import AUTHORITY, POLICY
from flopgate_sim.world.faults.bending import renumbering, thief
from flopgate_sim.world.faults.thieving import Renumbering
from flopgate_sim.world.plan import Fault

REPLACED_S: Final = 400
STEALS_S: Final = 430
"""From then on he answers: the former key was revoked ten seconds before."""
CODE: Final = "delegation.revoked"
RENUMBERS_S: Final = 300, 420
"""While he has the key and nobody knows."""
FOUND_OUT_S: Final = 1_200
"""Officers replace the key: all that he let hosts do is over."""


def revoked_key_used() -> Played:
    """See the table."""
    replaced = Fault(at_ms=REPLACED_S * 1000, kind="key_replaced", target=AUTHORITY, span_ms=10_000)
    over_s = STEALS_S + POLICY.lifetime_ms // 1000 + 60
    with staged(faults=(replaced,)) as world:
        *robbed, other = world.hosts
        thieves = [thief(world, host, 0) for host in robbed]
        ran: list[bool] = []
        stood: list[bool] = []

        def steal() -> None:
            ran.append(all(LaneState.RUNNING in states(host) for host in world.hosts))
            for host, one in zip(robbed, thieves, strict=True):
                host.couriers[0].bend(one)

        def give_up() -> None:
            stood.append(all(map(stands, robbed)) and LaneState.RUNNING in states(other))
            for host, one in zip(robbed, thieves, strict=True):
                host.couriers[0].straighten(one)

        at_s(world, STEALS_S, steal)
        at_s(world, over_s, give_up)
        world.run()
        refused = sum(host.truth.refused.get(CODE, 0) for host in robbed)
        again = all(LaneState.RUNNING in states(host) for host in world.hosts)
        tried = sum(one.tried for one in thieves)
        return Played(
            broken=broken(world),
            tried=tried,
            seen=f"{CODE}, {refused} times: the robbed stand, and run again with a true answer"
            if refused >= tried and all([*ran, *stood, again])
            else "",
        )


def numbers_made_up() -> Played:
    """See the table."""
    replaced = Fault(
        at_ms=FOUND_OUT_S * 1000, kind="key_replaced", target=AUTHORITY, span_ms=10_000
    )
    with staged(faults=(replaced,)) as world:
        *robbed, other = world.hosts
        governor = world.governors[0]
        thieves: list[Renumbering] = []
        stood: list[bool] = []
        beside: set[LaneState] = set()

        def steal() -> None:
            for host in robbed:
                thieves.append(renumbering(world, 0))
                host.couriers[0].bend(thieves[-1])

        def give_up() -> None:
            for host, one in zip(robbed, thieves, strict=True):
                host.couriers[0].straighten(one)

        at_s(world, RENUMBERS_S[0], steal)
        at_s(world, RENUMBERS_S[1], give_up)
        at_s(world, FOUND_OUT_S - 1, lambda: stood.append(all(map(stands, robbed))))
        for moment_s in range(RENUMBERS_S[0], world.plan.duration_ms // 1000):
            at_s(world, moment_s, lambda: beside.update(states(other)))
        world.run()
        again = all(LaneState.RUNNING in states(host) for host in world.hosts)
        innocent = governor.halt() is None and not evidence(world)
        return Played(
            broken=broken(world),
            tried=sum(one.tried for one in thieves),
            seen="the robbed stand, and run again once the key is revoked; nobody is accused"
            if all([*stood, again, innocent]) and beside == {LaneState.RUNNING}
            else "",
        )
