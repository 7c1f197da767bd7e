"""Couriers that are bent for a while, by the kind of the fault."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from flopgate_governor.core.quotes import AHEAD_MAX
from flopgate_proto.keys import SigningKey
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_sim.world.faults.tampering import (
    Forging,
    Keeping,
    Loosening,
    Lying,
    Replaying,
    Unrooting,
)
from flopgate_sim.world.faults.thieving import Renumbering, Thieving
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
    for number, courier in enumerate(host.couriers):
        source = world.streams.of(f"{name}/{host.name}/{fault.at_ms}")
        done.append((courier, bent(world, host, number, source)))
        courier.bend(done[-1][1])

    def honest() -> None:
        for courier, tampering in done:
            courier.straighten(tampering)

    world.engine.after(fault.span_ms * US_PER_MS, "courier is honest", honest)


def thief(world: World, host: Host, number: int) -> Thieving:
    """He has the former online keys of one authority; the gate heard that they were revoked."""
    governor = world.governors[number]
    officers = governor.officers

    def bring(message: pb.ToGate) -> None:
        world.engine.after(0, "to gate", partial(_to_gate, message))

    def _to_gate(message: pb.ToGate) -> None:
        # A ledger that was put back meanwhile has not heard of it.
        if stolen():
            host.from_courier(number, message)

    def stolen() -> list[SigningKey]:
        known = host.truth.keys.revoked_us
        return [key for key in officers.stolen if (governor.name, key.key_id) in known]

    return Thieving(
        keys=stolen,
        policy=lambda: officers.policy,
        unix_ms=lambda: governor.clocks.true_unix_ms,
        bring=bring,
    )


def renumbering(world: World, number: int) -> Renumbering:
    """Somebody has the online key of one authority, and nobody knows."""
    governor = world.governors[number]
    first = governor.clocks.true_unix_ms + 2 * AHEAD_MAX
    return Renumbering(governor.officers.permit, governor.name, first)


_BENT: Mapping[str, tuple[str, Callable[[World, Host, int, random.Random], Tampering]]] = {
    "courier_forges": ("forge", lambda _world, _host, _number, source: Forging(source)),
    "courier_replays": ("replay", lambda _world, _host, _number, source: Replaying(source)),
    "courier_loosens": ("loosen", lambda *_of: Loosening()),
    "courier_keeps": ("keep", lambda world, *_of: Keeping(world.engine)),
    "roots_dropped": ("unroot", lambda *_of: Unrooting()),
    "revoked_answers": ("thief", lambda world, host, number, _source: thief(world, host, number)),
    "numbers_made_up": ("number", lambda world, _host, number, _source: renumbering(world, number)),
    "host_lies": ("lie", lambda _world, host, _number, source: Lying(source, host.key)),
}
