"""Couriers that are bent for a while, by the kind of the fault."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flopgate_sim.world.faults.tampering import (
    Forging,
    Keeping,
    Loosening,
    Lying,
    Replaying,
    Unrooting,
)
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.nature.engine import US_PER_MS
from flopgate_sim.world.plan import Fault

if TYPE_CHECKING:
    from flopgate_sim.world.hosts.courier import Courier, Tampering
    from flopgate_sim.world.world import World


def bend(world: World, host: Host, fault: Fault) -> None:
    """All couriers of the host do what the fault says, for its span."""
    name, bent = _BENT[fault.kind]
    done: list[tuple[Courier, Tampering]] = []
    for courier in host.couriers:
        source = world.streams.of(f"{name}/{host.name}/{fault.at_ms}")
        done.append((courier, bent(world, host, source)))
        courier.bend(done[-1][1])

    def honest() -> None:
        for courier, tampering in done:
            courier.straighten(tampering)

    world.engine.after(fault.span_ms * US_PER_MS, "courier is honest", honest)


_BENT: Mapping[str, tuple[str, Callable[[World, Host, random.Random], Tampering]]] = {
    "courier_forges": ("forge", lambda _world, _host, source: Forging(source)),
    "courier_replays": ("replay", lambda _world, _host, source: Replaying(source)),
    "courier_loosens": ("loosen", lambda _world, _host, _source: Loosening()),
    "courier_keeps": ("keep", lambda world, _host, _source: Keeping(world.engine)),
    "roots_dropped": ("unroot", lambda _world, _host, _source: Unrooting()),
    "host_lies": ("lie", lambda _world, host, source: Lying(source, host.key)),
}
