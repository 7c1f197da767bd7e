"""The attacks, each in a world of its own."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState, Phase, PhaseRule, Scope, ScopeKind
from flopgate_sim.adversaries.stage import (
    Played,
    Watch,
    at_s,
    broken,
    reasons,
    staged,
    stands,
    states,
)
from flopgate_sim.planted.worlds import CHIPS, POLICY, hosts_of
from flopgate_sim.world.faults.tampering import Forging, Replaying
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.nature.clocks import EPOCH_UNIX_MS
from flopgate_sim.world.nature.engine import US_PER_S
from flopgate_sim.world.plan import Act, Fault, LanePlan

PAUSE_S = 400
KILLED_S = 600
NEIGHBOURS = 5
SPAN_MS = 1_200_000
"""Of the delegation in the world whose pause is withheld: 7 days by default."""
DROPS_PERCENT = 20, 60, 90
"""Of the couriers that carry at will."""
BENT_S = 120
DATE_S, OFF_MS, DAY_MS = 1_200, 200_000, 86_400_000
"""In the world whose date is evaded: the date, and how long the host is off each time."""
NOT_RENEWED = {"permit.none", "permit.expiring", "permit.expired"}
"""Why a lane stands whose permission ran out."""


class Crossing:
    """Brings to each gate what was meant for others, and what was meant for it long ago."""

    def __init__(self, source: random.Random, pool: list[pb.ToGate]) -> None:
        self._source = source
        self._pool = pool
        self.tried = 0

    def up(self, message: pb.LinkUp) -> pb.LinkUp | None:
        """Reports are left alone."""
        return message

    def down(self, message: pb.ToGate) -> list[pb.ToGate]:
        """Beside each message two of the common pool."""
        if not message.HasField("answers"):
            return [message]
        foreign = [self._source.choice(self._pool) for _ in range(2)] if self._pool else []
        self.tried += len(foreign)
        self._pool.append(message)
        return [*foreign, message]


def replay_elsewhere() -> Played:
    """See the table."""
    restarts = tuple(
        Fault(at_ms=at_ms, kind="gate_crash", target="host-0") for at_ms in (600_000, 1_200_000)
    )
    with staged(faults=restarts) as world:
        pool: list[pb.ToGate] = []
        crossing = [
            Crossing(world.streams.of(f"crossing/{host.name}"), pool) for host in world.hosts
        ]
        for host, one in zip(world.hosts, crossing, strict=True):
            host.couriers[0].bend(one)
        world.run()
        refused = {code for host in world.hosts for code in host.truth.refused}
        wanted = {"answer.host", "answer.run"}
        return Played(
            broken=broken(world),
            tried=sum(one.tried for one in crossing),
            seen=", ".join(sorted(refused & wanted)) if wanted <= refused else "",
        )


def courier_at_will() -> Played:
    """See the table."""
    with staged() as world:
        bent = [
            Replaying(world.streams.of(f"at will/{host.name}"), drops_percent)
            for host, drops_percent in zip(world.hosts, DROPS_PERCENT, strict=True)
        ]

        def bend() -> None:
            # Once all run: a courier that never lets its host join stops it, and shows nothing.
            for host, one in zip(world.hosts, bent, strict=True):
                host.couriers[0].bend(one)

        at_s(world, BENT_S, bend)
        stood: set[str] = set()
        ran: set[str] = set()

        def look() -> None:
            for host in world.hosts:
                if LaneState.RUNNING in states(host):
                    ran.add(host.name)
                elif host.name in ran and reasons(host) & NOT_RENEWED:
                    stood.add(host.name)

        for moment_s in range(60, world.plan.duration_ms // 1000, 5):
            at_s(world, moment_s, look)
        world.run()
        return Played(
            broken=broken(world),
            tried=sum(one.tried for one in bent),
            seen=f"permission ran out on {len(stood)} of {len(ran)} hosts" if stood else "",
        )


def courier_forges() -> Played:
    """See the table."""
    with staged() as world:
        bent = [Forging(world.streams.of(f"forging/{host.name}")) for host in world.hosts]
        for host, one in zip(world.hosts, bent, strict=True):
            host.couriers[0].bend(one)
        world.run()
        refused = {code for host in world.hosts for code in host.truth.refused}
        wanted = {"envelope.quorum", "merkle.proof"}
        return Played(
            broken=broken(world),
            tried=sum(one.tried for one in bent),
            seen=", ".join(sorted(refused & wanted)) if wanted <= refused else "",
        )


def ledger_rolled_back() -> Played:
    """See the table."""
    back = Fault(at_ms=600_000, kind="ledger_restore", target="host-0", span_ms=300_000)
    with staged(faults=(back,)) as world:
        watch = Watch(world, 900.0)
        world.run()
        return watch.played(tried=1, stopped=stands(world.hosts[0]))


def disk_cloned() -> Played:
    """See the table."""
    with staged() as world:
        watch = Watch(world, 600.0)
        clones: list[Host] = []
        at_s(world, 600, lambda: clones.append(world.clone(world.hosts[0])))
        world.run()
        machines = [world.hosts[0], *clones]
        stopped = bool(clones) and all(map(stands, machines))
        return watch.played(tried=len(clones), stopped=stopped)


def enrolled_anew() -> Played:
    """See the table."""
    with staged(spare_places=1) as world:
        anew: list[Host] = []
        at_s(world, 600, lambda: anew.append(world.clone(world.hosts[0], new_key=True)))
        world.run()
        admitted = any(host.truth.enrolled_us is not None for host in anew)
        why = world.governors[0].truth.turned_away & {"enrolment.chip-known"}
        seen = "" if admitted else ", ".join(why)
        return Played(broken=broken(world), tried=len(anew), seen=seen)


def pause_withheld() -> Played:
    """See the table."""
    with staged(delegation_span_ms=SPAN_MS) as world:
        ran: set[str] = set()
        stand_s: list[int] = []

        def sign() -> None:
            # Whoever holds the online key gives it to nobody, and grants on.
            world.governors[0].officers.pause(Scope(ScopeKind.EVERYTHING))

        def look(moment_s: int) -> None:
            running = {host.name for host in world.hosts if LaneState.RUNNING in states(host)}
            ran.update(running)
            expired = all("delegation.expired" in reasons(host) for host in world.hosts)
            if expired and not running:
                stand_s.append(moment_s)

        at_s(world, PAUSE_S, sign)
        for moment_s in range(PAUSE_S + 1, world.plan.duration_ms // 1000, 10):
            at_s(world, moment_s, partial(look, moment_s))
        world.run()
        every = len(ran) == len(world.hosts) and stand_s
        return Played(
            broken=broken(world),
            tried=len(ran),
            seen="delegation.expired on every host" if every else "",
            seen_after_s=float(stand_s[0] - PAUSE_S) if stand_s else 0.0,
        )


def date_evaded() -> Played:
    """See the table."""
    everything = Scope(ScopeKind.EVERYTHING)
    rules = (
        PhaseRule(scope=everything, phase=Phase.OBSERVE, from_unix_ms=0),
        PhaseRule(
            scope=everything, phase=Phase.ENFORCE, from_unix_ms=EPOCH_UNIX_MS + DATE_S * 1000
        ),
    )
    off = tuple(
        Fault(at_ms=at_s * 1000, kind="power_loss", target="host-0", span_ms=OFF_MS)
        for at_s in (DATE_S - 700, DATE_S - 350)
    )
    cut = Fault(at_ms=(DATE_S - 710) * 1000, kind="partition", target="host-0", span_ms=DAY_MS)
    pause = Act(at_ms=PAUSE_S * 500, act="pause")
    policy = replace(POLICY, phases=rules)
    with staged(policy=policy, faults=(cut, *off), acts=(pause,)) as world:
        evader, *others = world.hosts
        worked_s: list[int] = []
        stood: set[str] = set()

        def look(moment_s: int) -> None:
            if evader.computing:
                worked_s.append(moment_s - DATE_S)
            stood.update(host.name for host in others if states(host) == {LaneState.HALTED})

        for moment_s in range(DATE_S + 70, world.plan.duration_ms // 1000, 5):
            at_s(world, moment_s, partial(look, moment_s))
        world.run()
        stands = states(evader) == {LaneState.HALTED} and len(stood) == len(others)
        return Played(
            broken=broken(world),
            tried=len(off),
            seen="it stands by itself" if stands else "",
            seen_after_s=float(max(worked_s, default=0)),
        )


def wall_clock_set() -> Played:
    """See the table."""
    steps = tuple(
        Fault(at_ms=at_ms, kind="wall_step", target=f"host-{number}", value=seconds)
        for number, (at_ms, seconds) in enumerate(
            ((400_000, -7_200), (500_000, 7_200), (600_000, -86_400))
        )
    )
    with staged(faults=steps) as world:
        world.run()
        running = sum(LaneState.RUNNING in states(host) for host in world.hosts)
        seen = "all run on, none longer than it may" if running == len(world.hosts) else ""
        return Played(broken=broken(world), tried=len(steps), seen=seen)


def boot_clock_set_back() -> Played:
    """See the table."""
    back = Fault(at_ms=600_000, kind="boot_clock_back", target="host-0", value=400_000)
    with staged(faults=(back,)) as world:
        found: list[float] = []

        def look() -> None:
            if not found and "clock.boot.backwards" in reasons(world.hosts[0]):
                found.append(world.engine.now_us / US_PER_S)

        for moment_s in range(600, 700):
            at_s(world, moment_s + 0.5, look)
        world.run()
        after_s = found[0] - 600 if found else 0.0
        seen = "clock.boot.backwards" if found else ""
        return Played(broken=broken(world), tried=1, seen=seen, seen_after_s=after_s)


def thawed_by_root() -> Played:
    """See the table."""
    pause = Act(at_ms=600_000, act="pause", scope="cluster:alpha")
    with staged(acts=(pause,)) as world:
        host, tried, killed = world.hosts[0], [0], [0.0]

        def thaw() -> None:
            tried[0] += host.hardware.wake(world.engine.now_us)

        def look() -> None:
            if tried[0] and not killed[0] and not host.hardware.jobs:
                killed[0] = world.engine.now_us / US_PER_S

        for moment_s in range(700, 900, 5):
            at_s(world, moment_s, thaw)
        for moment_s in range(700, 900):
            at_s(world, moment_s + 0.9, look)
        world.run()
        return Played(
            broken=broken(world),
            tried=tried[0],
            seen="killed" if killed[0] else "",
            seen_after_s=max(0.0, killed[0] - 700),
        )


def gate_killed() -> Played:
    """See the table."""
    with staged(lockdown=True) as world:
        host = world.hosts[0]
        worked_s: list[int] = []

        def look(moment_s: int) -> None:
            if host.computing:
                worked_s.append(moment_s - KILLED_S)

        at_s(world, KILLED_S, lambda: host.kill_gate("root ends it, and lets none start"))
        for moment_s in range(KILLED_S, world.plan.duration_ms // 1000):
            at_s(world, moment_s + 0.5, partial(look, moment_s))
        world.run()
        last_s = max(worked_s, default=0)
        stopped = last_s * 1000 < POLICY.watchdog_ms
        seen = f"no work from {last_s + 1} s after it on" if stopped else ""
        return Played(broken=broken(world), tried=len(worked_s), seen=seen)


def counters_faked() -> Played:
    """See the table."""
    return _hidden({"meter.power.unexplained", "meter.active.below_kernels"}, bent=False)


def driver_bent() -> Played:
    """See the table."""
    return _hidden({"meter.neighbours.apart"}, bent=True)


def _hidden(wanted: set[str], *, bent: bool) -> Played:
    lane = LanePlan(workload="run", chips=tuple(range(CHIPS)))
    with staged(hosts=hosts_of(lane, NEIGHBOURS)) as world:
        host = world.hosts[0]

        def hide() -> None:
            host.hardware.advance(world.engine.now_us)
            for chip in host.hardware.chips:
                chip.hiding, chip.bent = True, bent

        at_s(world, 600, hide)
        world.run()
        told_us = host.truth.told_us
        slandered = any(wanted & other.truth.told_us.keys() for other in world.hosts[1:])
        seen = wanted <= told_us.keys() and not slandered
        return Played(
            broken=broken(world),
            tried=sum(chip.hidden_us > 0 for chip in host.hardware.chips),
            seen=", ".join(sorted(wanted)) if seen else "",
            seen_after_s=max(told_us[one] for one in wanted) / US_PER_S - 600 if seen else 0.0,
        )
