"""Attacks on a gate's memory and boot clock: virtual machines put back, clocks held back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from flopgate_sim.adversaries.stage import (
    SEED,
    Played,
    Watch,
    at_s,
    broken,
    reasons,
    staged,
    stands,
)
from flopgate_sim.planted.worlds import plain
from flopgate_sim.world.hosts.host import Host, MemoryImage
from flopgate_sim.world.nature.engine import US_PER_S
from flopgate_sim.world.plan import Fault
from flopgate_sim.world.world import World

TAKEN_S: Final = 590
AGAIN_S: Final = (800, 1_000, 1_200)
HEALED_S: Final = 1_300
SLOWED_S, SLOWED_PPM = 600, 200_000
"""A fifth: far beyond all drift, and little enough for a permit to be renewed in its lifetime."""
HOSTS: Final = tuple(replace(host, plain_ledger=True) for host in plain(SEED).hosts)
"""An open file of SQLite has no copy."""
_BEHIND: Final = "clock.boot.behind"


def memory_snapshot() -> Played:
    """See the table."""
    with staged(hosts=HOSTS) as world:
        host, watch = world.hosts[0], Watch(world, AGAIN_S[0])
        tried = _put_back(world, host)
        world.run()
        return watch.played(tried=len(tried), stopped=stands(host))


def memory_snapshot_unlinked() -> Played:
    """See the table."""
    cut = Fault(
        at_ms=(TAKEN_S + 1) * 1000,
        kind="partition",
        target="host-0",
        span_ms=(HEALED_S - TAKEN_S - 1) * 1000,
    )
    with staged(hosts=HOSTS, faults=(cut,)) as world:
        host = world.hosts[0]
        tried = _put_back(world, host)
        world.run()
        return _told(world, host, HEALED_S, tried=len(tried))


def memory_snapshot_beside_tpm() -> Played:
    """See the table."""
    hosts = tuple(replace(host, tpm=True) for host in HOSTS)
    with staged(hosts=hosts) as world:
        host = world.hosts[0]
        # Once: what the chips were set to since is not in the image.
        tried = _put_back(world, host, AGAIN_S[:1])
        found: list[bool] = []
        at_s(world, AGAIN_S[1] - 1, lambda: found.append("tpm.failed" in reasons(host)))
        world.run()
        stood = all(found) and stands(host) and not host.computing
        return Played(
            broken=broken(world), tried=len(tried), seen="tpm.counter.moved" if stood else ""
        )


def boot_clock_slowed() -> Played:
    """See the table."""
    with staged() as world:
        host = world.hosts[0]
        at_s(world, SLOWED_S, lambda: host.slow_boot_clock(SLOWED_PPM))
        world.run()
        return _told(world, host, SLOWED_S, tried=1)


def _told(world: World, host: Host, since_s: int, *, tried: int) -> Played:
    """Found by the host's own gate, once an authority had told the time."""
    told_us = host.truth.told_us.get(_BEHIND)
    others = any(_BEHIND in other.truth.told_us for other in world.hosts if other is not host)
    return Played(
        broken=broken(world),
        tried=tried,
        seen="" if told_us is None or others else _BEHIND,
        seen_after_s=0.0 if told_us is None else told_us / US_PER_S - since_s,
    )


def _put_back(world: World, host: Host, moments_s: Sequence[int] = AGAIN_S) -> list[int]:
    """One moment's memory, again and again; when that met a host that worked."""
    images: list[MemoryImage] = []
    tried: list[int] = []

    def put_back() -> None:
        if host.computing:
            tried.append(world.engine.now_us // US_PER_S)
        host.put_memory_back(images[0])

    at_s(world, TAKEN_S, lambda: images.append(host.memory_image()))
    for moment_s in moments_s:
        at_s(world, moment_s, put_back)
    return tried
