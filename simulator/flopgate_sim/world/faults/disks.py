"""What befalls a disk, whoever has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flopgate_sim.world.nature.engine import US_PER_MS
from flopgate_sim.world.plan import Fault

if TYPE_CHECKING:
    from flopgate_sim.world.world import World


def disk_full(world: World, fault: Fault) -> None:
    """It takes so many bytes more, for a while."""
    disk = world.named(fault.target).disk
    disk.fill(fault.value)
    world.engine.after(fault.span_ms * US_PER_MS, "disk has room", disk.free)


def disk_error(world: World, fault: Fault) -> None:
    """One of its next writes fails."""
    disk = world.named(fault.target).disk
    disk.fail_once(fault.value)
