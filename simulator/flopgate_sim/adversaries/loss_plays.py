"""Attacks on how a governor learns that its store lost something."""

from __future__ import annotations

from typing import Final

from flopgate_proto.values import LaneState
from flopgate_sim.adversaries.stage import Played, at_s, broken, evidence, staged, stands, states
from flopgate_sim.planted.worlds import AUTHORITY, POLICY
from flopgate_sim.world.faults.tampering import Lying, Unrooting
from flopgate_sim.world.plan import Fault

LIED_S: Final = 400
RESTORED_S: Final = 900
DROPPED_S: Final = 890, 1_800
"""From when until when no courier brings a root."""
DURATION_MS: Final = 3_600_000
"""Time for a reconciliation, and for lost permits to run out after it."""


def answers_made_up() -> Played:
    """See the table."""
    with staged() as world:
        *liars, other = world.hosts
        lies: list[Lying] = []
        granted: list[int] = []

        def lie() -> None:
            granted.append(world.governors[0].truth.grants)
            for host in liars:
                lies.append(Lying(world.streams.of(f"lying/{host.name}"), host.key))
                host.couriers[0].bend(lies[-1])

        at_s(world, LIED_S, lie)
        world.run()
        stopped = all(map(stands, liars))
        goes_on = LaneState.RUNNING in states(other) and world.governors[0].halt() is None
        more = world.governors[0].truth.grants - sum(granted)
        return Played(
            broken=broken(world),
            tried=sum(one.tried for one in lies),
            seen=f"the liars stand, and {more} permits were given to the other"
            if stopped and goes_on and more > len(liars)
            else "",
        )


def losses_made_up() -> Played:
    """See the table."""
    restore = Fault(at_ms=(RESTORED_S - 300) * 1000, kind="governor_restore", target=AUTHORITY,
                    span_ms=300_000)  # fmt: skip
    with staged(faults=(restore,), duration_ms=DURATION_MS) as world:
        liar, *others = world.hosts
        governor = world.governors[0]
        lies: list[Lying] = []

        def look() -> None:
            halt = governor.halt()
            if halt is not None and not lies:
                source = world.streams.of(f"lying/{liar.name}")
                lies.append(Lying(source, liar.key, halt.quoted_batch))
                liar.couriers[0].bend(lies[0])

        for moment_s in range(RESTORED_S, RESTORED_S + POLICY.lifetime_ms // 1000):
            at_s(world, moment_s, look)
        world.run()
        again = all(LaneState.RUNNING in states(host) for host in others)
        closed = evidence(world) > 0 and stands(liar)
        return Played(
            broken=broken(world),
            tried=sum(one.tried for one in lies),
            seen="the chain is closed on evidence, the others run again"
            if closed and again
            else "",
        )


def roots_dropped() -> Played:
    """See the table."""
    restore = Fault(at_ms=(RESTORED_S - 300) * 1000, kind="governor_restore", target=AUTHORITY,
                    span_ms=300_000)  # fmt: skip
    with staged(faults=(restore,), duration_ms=DURATION_MS) as world:
        dropping = [Unrooting() for _ in world.hosts]
        governor = world.governors[0]
        stood: list[bool] = []
        halted: list[bool] = []

        def drop() -> None:
            for host, one in zip(world.hosts, dropping, strict=True):
                host.couriers[0].bend(one)

        def carry() -> None:
            stood.append(all(map(stands, world.hosts)) and governor.halt() is None)
            for host, one in zip(world.hosts, dropping, strict=True):
                host.couriers[0].straighten(one)

        at_s(world, DROPPED_S[0], drop)
        at_s(world, DROPPED_S[1], carry)
        for moment_s in range(DROPPED_S[1], DROPPED_S[1] + POLICY.lifetime_ms // 1000):
            at_s(world, moment_s, lambda: halted.append(governor.halt() is not None))
        world.run()
        again = all(LaneState.RUNNING in states(host) for host in world.hosts)
        seen = "every host stands, until a root comes and the governor halts"
        return Played(
            broken=broken(world),
            tried=sum(one.tried for one in dropping),
            seen=seen if all(stood) and any(halted) and again else "",
        )
