"""What goes wrong at a governor's machine; see `table`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flopgate_sim.world.faults.disks import disk_error, disk_full
from flopgate_sim.world.governors.governor import Governor
from flopgate_sim.world.nature.engine import US_PER_MS
from flopgate_sim.world.plan import Fault

if TYPE_CHECKING:
    from flopgate_sim.world.world import World


def _governor(world: World, fault: Fault) -> Governor:
    found = world.named(fault.target)
    if not isinstance(found, Governor):
        raise TypeError(fault.target)
    return found


def _governor_crash(world: World, fault: Fault) -> None:
    _governor(world, fault).restart_soon("kill -9", fault.span_ms * US_PER_MS)


def _governor_crash_writing(world: World, fault: Fault) -> None:
    _governor(world, fault).disk.fail_at(fault.value)


def _governor_power_loss(world: World, fault: Fault) -> None:
    governor = _governor(world, fault)
    governor.lose_power()
    governor.disk.power_loss(world.streams.of(f"power/{governor.name}/{fault.at_ms}"))
    world.engine.after(fault.span_ms * US_PER_MS, "governor start", governor.boot)


def _governor_restore(world: World, fault: Fault) -> None:
    governor = _governor(world, fault)
    if governor.state is None:
        return
    backup, batch = governor.disk.snapshot(), governor.state.batch_number
    orders = len(governor.officers.issued)

    def restore() -> None:
        governor.restore(backup, batch)
        world.reconcile_soon(governor, orders)

    world.engine.after(fault.span_ms * US_PER_MS, "governor restored", restore)


def _governor_clock_leap(world: World, fault: Fault) -> None:
    governor = _governor(world, fault)
    governor.times.step_wall(fault.value * 1_000)
    boots = governor.boots

    def mend() -> None:
        # A boot mended it before.
        if governor.boots == boots:
            governor.times.step_wall(-fault.value * 1_000)

    world.engine.after(fault.span_ms * US_PER_MS, "governor clock is mended", mend)


def _key_replaced(world: World, fault: Fault) -> None:
    governor, span_us = _governor(world, fault), fault.span_ms * US_PER_MS
    world.replace_key(governor, span_us, emergency=bool(fault.value))


OF_GOVERNORS: Mapping[str, Callable[[World, Fault], None]] = {
    "governor_crash": _governor_crash,
    "governor_crash_writing": _governor_crash_writing,
    "governor_power_loss": _governor_power_loss,
    "governor_restore": _governor_restore,
    "governor_clock_leap": _governor_clock_leap,
    "key_replaced": _key_replaced,
    "governor_disk_full": disk_full,
    "governor_disk_error": disk_error,
}
"""What each kind does that befalls a governor alone."""
