"""Worlds in which adversaries play, and what is looked at afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sqlalchemy import func, select

from flopgate_governor.store import schema
from flopgate_proto.values import LaneState
from flopgate_sim.campaign.outcome import CHEAP
from flopgate_sim.disk import DiskLayer
from flopgate_sim.planted.worlds import plain
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.nature.engine import US_PER_S
from flopgate_sim.world.nature.signatures import scheme
from flopgate_sim.world.plan import WorldPlan
from flopgate_sim.world.world import World

SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How it went.

    Attributes:
        broken: the law that broke, in words; empty while all held.
        tried: how often the attack was really made: what never happened proves nothing.
        seen: what gave it away or stopped it; empty when nothing did.
        seen_after_s: how long that took, from the first try.
    """

    broken: str
    tried: int
    seen: str
    seen_after_s: float = 0.0


@contextmanager
def staged(*, judged: bool = True, **changes: object) -> Iterator[World]:
    """A quiet world, to be run inside the block, its laws ``judged`` or not."""
    plan: WorldPlan = replace(plain(SEED), **changes)  # type: ignore[arg-type]
    with (
        scheme(CHEAP),
        tempfile.TemporaryDirectory(prefix="flopgate-sim-") as folder,
        DiskLayer(Path(folder)) as disks,
    ):
        world = World(plan, SEED, disks, judged=judged)
        try:
            yield world
        finally:
            world.close()


def at_s(world: World, moment_s: float, act: Callable[[], None]) -> None:
    """Let something happen at a moment."""
    world.engine.at(round(moment_s * US_PER_S), "adversary", act)


def broken(world: World) -> str:
    """The law that broke, in words."""
    found = world.broken
    return "" if found is None else f"law {found.law.number}: {found.detail}"


def evidence(world: World) -> int:
    """Statements that the first governor keeps as evidence against hosts."""
    state = world.governors[0].state
    if state is None:
        return 0
    with state.store.transaction() as connection:
        return int(
            connection.execute(select(func.count()).select_from(schema.evidence)).scalar_one()
        )


def states(host: Host) -> set[LaneState]:
    """Of all lanes."""
    return set() if host.runner is None else {one.state for one in host.runner.core.lanes.values()}


def reasons(host: Host) -> set[str]:
    """Why lanes stand."""
    if host.runner is None:
        return set()
    return {lane.why.reason for lane in host.runner.core.lanes.values() if lane.why is not None}


def stands(host: Host) -> bool:
    """Whether nothing may run on a host whose gate is there."""
    return bool(states(host)) and LaneState.RUNNING not in states(host)


class Watch:
    """Notes when evidence first stands in the governor's store."""

    def __init__(self, world: World, since_s: float) -> None:
        self._world = world
        self._since_s = since_s
        self._seen_s = 0.0
        for wait_s in range(1, 600):
            at_s(world, since_s + wait_s, partial(self._look, since_s + wait_s))

    def _look(self, moment_s: float) -> None:
        if not self._seen_s and evidence(self._world):
            self._seen_s = moment_s

    def played(self, *, tried: int, stopped: bool) -> Played:
        """What came of it."""
        return Played(
            broken=broken(self._world),
            tried=tried,
            seen="the chain is closed on evidence" if self._seen_s and stopped else "",
            seen_after_s=max(0.0, self._seen_s - self._since_s),
        )
