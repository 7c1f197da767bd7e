"""Attacks with keys: online ones that officers revoked, officers' own that sign for a rehearsal."""

from __future__ import annotations

from typing import Final

from flopgate_proto.codec import envelope_to_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState, Scope, ScopeKind
from flopgate_sim.adversaries.stage import (
    Played,
    at_s,
    broken,
    evidence,
    staged,
    stands,
    states,
)
from flopgate_sim.planted.order_worlds import CLUSTER, WIDE_TFLOP
from flopgate_sim.planted.worlds import AUTHORITY, POLICY
from flopgate_sim.world.faults.bending import renumbering, thief
from flopgate_sim.world.faults.thieving import Renumbering
from flopgate_sim.world.plan import Act, Fault
from flopgate_sim.world.world import World

REPLACED_S: Final = 400
STEALS_S: Final = 430
"""From then on he answers: the former key was revoked ten seconds before."""
CODE: Final = "delegation.revoked"
OTHER: Final = "order.other-authority"
RENUMBERS_S: Final = 300, 420
"""While he has the key and nobody knows."""
FOUND_OUT_S: Final = 1_200
"""Officers replace the key: all that he let hosts do is over."""

REHEARSED_S: Final = 300
"""When the pause and the policy of a rehearsal are brought."""
PAUSED_S: Final = 600
LIFTED_S: Final = 900
"""When its resume is brought, of a pause that stands since minutes."""


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
            ran.append(_all_run(world))
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
        again = _all_run(world)
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
        again = _all_run(world)
        innocent = governor.halt() is None and not evidence(world)
        return Played(
            broken=broken(world),
            tried=sum(one.tried for one in thieves),
            seen="the robbed stand, and run again once the key is revoked; nobody is accused"
            if all([*stood, again, innocent]) and beside == {LaneState.RUNNING}
            else "",
        )


def rehearsal_replayed() -> Played:
    """See the table."""
    pause = Act(at_ms=PAUSED_S * 1000, act="pause", scope=CLUSTER)
    with staged(acts=(pause,)) as world:
        (governor,) = world.governors
        rehearsal = governor.officers.rehearsal()
        taken: list[bool] = []
        ran: list[bool] = []

        def bring(order: Envelope) -> None:
            taken.append(governor.order(order))
            signed = pb.SignedOrder(envelope=envelope_to_wire(order))
            for host in world.hosts:
                host.from_courier(0, pb.ToGate(order=signed))

        def rehearsed() -> None:
            bring(rehearsal.pause(pause.within))
            bring(rehearsal.cap(Scope(ScopeKind.EVERYTHING), WIDE_TFLOP))

        at_s(world, REHEARSED_S, rehearsed)
        at_s(world, PAUSED_S, lambda: ran.append(_all_run(world)))
        at_s(world, LIFTED_S, lambda: bring(rehearsal.resume(tuple(governor.truth.pauses))))
        world.run()
        stood = all(map(stands, world.hosts))
        refused = sum(host.truth.refused.get(OTHER, 0) for host in world.hosts)
        everywhere = refused == len(taken) * len(world.hosts)
        return Played(
            broken=broken(world),
            tried=len(taken) * (1 + len(world.hosts)),
            seen=f"{OTHER}, at every gate and at the governor: hosts run on, and stand once paused"
            if everywhere and not any(taken) and all([*ran, stood])
            else "",
        )


def _all_run(world: World) -> bool:
    return all(LaneState.RUNNING in states(host) for host in world.hosts)
