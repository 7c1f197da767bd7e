"""What each kind of fault does to the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flopgate_sim.world.faults.governors import OF_GOVERNORS
from flopgate_sim.world.faults.hosts import OF_HOSTS
from flopgate_sim.world.plan import Fault

if TYPE_CHECKING:
    from flopgate_sim.world.world import World

APPLY: Mapping[str, Callable[[World, Fault], None]] = {**OF_HOSTS, **OF_GOVERNORS}
"""By the name of the kind."""
