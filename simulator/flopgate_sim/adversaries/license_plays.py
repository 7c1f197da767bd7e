"""Attacks on licenses: what is to be spent once is spent again, or by another, or too early."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final

from flopgate_agent.gate.lanes.allowance import Allowed
from flopgate_governor.core.facts import LaneFacts
from flopgate_sim.adversaries.stage import SEED, Played, Watch, at_s, broken, staged, stands
from flopgate_sim.disk import Snapshot
from flopgate_sim.planted.license_worlds import (
    CUT_MS,
    DURATION_MS,
    licensed,
    reserved,
    stolen_key,
)
from flopgate_sim.planted.worlds import POLICY
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.nature.engine import US_PER_S
from flopgate_sim.world.plan import Errand, Fault, WorldPlan
from flopgate_sim.world.world import World

KEPT_S: Final = 800
"""By then every host of these worlds runs by its license; the link is back at `HEALED_S`."""
AGAIN_S: Final = (1_100, 1_400, 1_700)
HEALED_S, END_S = 2_000, 2_600
UNAPPROVED: Final = {"envelope.quorum", "license.approval"}
"""Why a gate refuses what no quorum approved, or what it approved for others."""
DISKLESS, WITH_TPM = 0, 1
"""Hosts of these worlds: one whose license nothing but its disk counts, and one with a TPM."""


def _staged(
    plan: WorldPlan, *, errands: tuple[Errand, ...] | None = None, clones: tuple[str, ...] = ()
) -> AbstractContextManager[World]:
    """Its world, with every link cut until `HEALED_S`; what appears later is cut as well."""
    cut = tuple(
        Fault(at_ms=at_ms, kind="partition", target=name, span_ms=HEALED_S * 1000 - at_ms)
        for at_ms, names in (
            (CUT_MS, [host.name for host in plan.hosts]),
            (KEPT_S * 1000 + 1, clones),
        )
        for name in names
    )
    return staged(
        hosts=plan.hosts,
        policy=plan.policy,
        acts=plan.acts,
        errands=plan.errands if errands is None else errands,
        faults=cut,
        duration_ms=END_S * 1000,
        lockdown=True,
    )


def _first() -> tuple[WorldPlan, tuple[Errand, ...]]:
    """Licensed hosts, and the errand that brings each of them its first license."""
    plan = licensed(SEED)
    return plan, tuple(one for one in plan.errands if one.at_ms < CUT_MS + 600_000)


def by_license(host: Host) -> bool:
    """Whether its gate lets a lane run by a license now."""
    core = None if host.runner is None else host.runner.core
    found = () if core is None else core.permissions.values()
    return any(isinstance(one, Allowed) and bool(one.licensed_by) for one in found)


def _looks(world: World, since_s: int, look: Callable[[], None]) -> None:
    for moment_s in range(since_s, world.plan.duration_ms // 1000, 5):
        at_s(world, moment_s + 0.5, look)


def license_cloned() -> Played:
    """See the table."""
    plan, errands = _first()
    with _staged(plan, errands=errands, clones=("host-0-clone",)) as world:
        watch = Watch(world, HEALED_S)
        clones: list[Host] = []
        both: list[int] = []
        at_s(world, KEPT_S, lambda: clones.append(world.clone(world.hosts[DISKLESS])))

        def look() -> None:
            if all(map(by_license, [world.hosts[DISKLESS], *clones])):
                both.append(world.engine.now_us // US_PER_S)

        _looks(world, KEPT_S + 60, look)
        world.run()
        stopped = bool(clones) and all(map(stands, [world.hosts[DISKLESS], *clones]))
        return watch.played(tried=len(both), stopped=stopped)


def license_put_back() -> Played:
    """See the table."""
    plan, errands = _first()
    with _staged(plan, errands=errands) as world:
        host, (lane,) = world.hosts[DISKLESS], plan.hosts[DISKLESS].lanes
        tried = _put_back(world, host)
        charged: list[float] = []

        def look() -> None:
            books = _books(world, host, lane.workload)
            if books and books.unaccounted_tflop:
                charged.append(world.engine.now_us / US_PER_S - HEALED_S)

        _looks(world, HEALED_S, look)
        world.run()
        books = _books(world, host, lane.workload)
        told = "meter.gap.tightened" in host.truth.told_us
        return Played(
            broken=broken(world),
            tried=len(tried),
            seen=f"{books.unaccounted_tflop} TFLOP are charged" if books and told else "",
            seen_after_s=charged[0] if charged else 0.0,
        )


def license_put_back_beside_tpm() -> Played:
    """See the table."""
    plan, errands = _first()
    with _staged(plan, errands=errands) as world:
        host = world.hosts[WITH_TPM]
        tried = _put_back(world, host)
        ran = _computing(world, (host,))
        world.run()
        return _stood(world, (host,), ran, tried=len(tried))


def tpm_swapped() -> Played:
    """See the table."""
    plan, errands = _first()
    with _staged(plan, errands=errands) as world:
        pair = world.hosts[WITH_TPM], world.hosts[WITH_TPM + 1]
        tried: list[bool] = []

        def swap() -> None:
            tried.extend(map(by_license, pair))
            one, other = (host.tpm for host in pair)
            for host, tpm in zip(pair, (other, one), strict=True):
                host.kill_gate("its TPM is swapped")
                host.store.swap_tpm(tpm)
                host.start_gate()

        at_s(world, AGAIN_S[0], swap)
        ran = _computing(world, pair)
        world.run()
        return _stood(world, pair, ran, tried=sum(tried))


def license_courier() -> Played:
    """See the table."""
    plan, errands = _first()
    lost, doubled, crossed = errands
    bent = (
        replace(lost, back_ms=DURATION_MS),
        replace(doubled, installs=("host-1", "host-1", "host-2")),
        replace(crossed, installs=("host-1", "host-2", "host-0", "host-2")),
    )
    with _staged(plan, errands=bent) as world:
        ran = _licensed(world)
        world.run()
        refused = world.errands.refused
        right = refused.keys() == {"license.host", "license.installed"}
        right = right and ran == {doubled.host, crossed.host}
        return Played(
            broken=broken(world),
            tried=sum(refused.values()),
            seen=", ".join(sorted(refused)) if right else "",
        )


def license_unapproved() -> Played:
    """See the table."""
    plan = stolen_key(SEED)
    with _staged(plan, errands=plan.errands) as world:
        ran = _licensed(world)
        world.run()
        refused = world.errands.refused
        right = refused.keys() == UNAPPROVED and ran == {plan.errands[0].host}
        return Played(
            broken=broken(world),
            tried=sum(refused.values()),
            seen=", ".join(sorted(refused)) if right else "",
        )


def reserve_under_pause() -> Played:
    """See the table."""
    with _staged(reserved(SEED)) as world:
        ran = _licensed(world)
        world.run()
        refused = world.errands.refused
        return Played(
            broken=broken(world),
            tried=refused.get("reserve.paused", 0),
            seen="reserve.paused" if world.errands.given and not ran else "",
        )


def _licensed(world: World) -> set[str]:
    """Hosts that let anything run by a license, filled while the world runs."""
    ran: set[str] = set()

    def look() -> None:
        ran.update(host.name for host in world.hosts if by_license(host))

    _looks(world, KEPT_S, look)
    return ran


def _books(world: World, host: Host, workload: str) -> LaneFacts | None:
    """A lane in the store of the authority."""
    state = world.governors[0].state
    chain = None if state is None else state.chains.get(host.host_id)
    return None if chain is None else chain.lanes.get(workload)


def _put_back(world: World, host: Host) -> list[int]:
    """The disk of one moment, again and again; when that met a host that ran by its license."""
    kept: list[Snapshot] = []
    tried: list[int] = []

    def put_back() -> None:
        if by_license(host) or tried:
            tried.append(world.engine.now_us // US_PER_S)
        host.restore_ledger(kept[0], KEPT_S * US_PER_S)

    at_s(world, KEPT_S, lambda: kept.append(host.disk.snapshot()))
    for moment_s in AGAIN_S:
        at_s(world, moment_s, put_back)
    return tried


def _computing(world: World, hosts: Sequence[Host]) -> list[int]:
    """Seconds after the first try at which one computed, filled while the world runs."""
    ran: list[int] = []

    def look() -> None:
        if any(host.computing for host in hosts):
            ran.append(world.engine.now_us // US_PER_S - AGAIN_S[0])

    _looks(world, AGAIN_S[0], look)
    return ran


def _stood(world: World, hosts: Sequence[Host], ran: list[int], *, tried: int) -> Played:
    gone = all(host.runner is None for host in hosts)
    stood = gone and max(ran, default=0) * 1000 <= POLICY.watchdog_ms
    return Played(
        broken=broken(world),
        tried=tried,
        seen="no gate starts, and the lock-down ends the job" if stood else "",
    )
