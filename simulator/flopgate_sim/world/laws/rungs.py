"""Laws 1 and 8 over what is set of chips: closed and slow where nothing may run, else as before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flopgate_agent.gate.lanes.lane import Lane
from flopgate_agent.gate.lanes.states import MAY_COMPUTE
from flopgate_proto.values import LaneState
from flopgate_sim.world.hardware.chips import Chip
from flopgate_sim.world.hardware.levels import LOWEST_MW, PROHIBITED
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.nature.engine import US_PER_MS
from flopgate_sim.world.truths.host import RUNGS_MS, is_free

STANDS = frozenset(LaneState) - MAY_COMPUTE
RUNS = MAY_COMPUTE - {LaneState.WINDING_DOWN}


def _settled(host: Host, states: frozenset[LaneState], now_us: int) -> list[Lane]:
    """Lanes that have been in such a state for longer than it takes to set their chips."""
    if host.runner is None or host.hung or host.suspended:
        return []
    core, truth = host.runner.core, host.truth
    lanes = [lane for lane in core.lanes.values() if lane.state in states]
    if not lanes or not core.permissions or is_free(host):
        return []
    ruled_us = truth.enrolled_us or truth.unkept_us or 0
    since_us = max(truth.acting_since_us or 0, ruled_us, host.seeing_since_us)
    if now_us - since_us <= RUNGS_MS * US_PER_MS:
        return []
    elapsed_ms = host.clocks.elapsed_ms
    return [lane for lane in lanes if elapsed_ms - lane.since_ms > RUNGS_MS]


def _reachable(chip: Chip, now_us: int) -> bool:
    """Whether it could be set for long enough, and nobody undid what was set."""
    return not (chip.lost or chip.hung) and now_us - chip.open_us > RUNGS_MS * US_PER_MS


def barred(host: Host, now_us: int) -> Iterable[str]:
    """1: where nothing may run, each rung keeps all out, and whoever gets in is slow."""
    lanes = _settled(host, STANDS, now_us)
    return _unbarred(host, lanes, now_us) if lanes else ()


def _unbarred(host: Host, lanes: list[Lane], now_us: int) -> Iterator[str]:
    for lane in lanes:
        slow = lane.state is LaneState.HALTED
        for index in lane.setting.chips:
            chip = host.hardware.chips[index]
            if not _reachable(chip, now_us):
                continue
            where = f"{host.name}: {lane.workload} stands, chip {index}"
            if not (chip.compute_mode == PROHIBITED or chip.mig):
                yield f"{where} takes new contexts"
            elif chip.node[0]:
                yield f"{where} has an open node"
            elif not chip.programs:
                yield f"{where} is closed to nobody by the kernel"
            elif slow and not (chip.locked and chip.power_mw == LOWEST_MW):
                yield f"{where} is as fast as ever"


def opened(host: Host, now_us: int) -> Iterator[str]:
    """8: a lane that may run finds its chips as they were; else it stands and nobody says why."""
    changed = host.hardware.changed
    for lane in _settled(host, RUNS, now_us):
        for index in changed.intersection(lane.setting.chips):
            if _reachable(host.hardware.chips[index], now_us):
                yield f"{host.name}: {lane.workload} may run, chip {index} is not as it was"
