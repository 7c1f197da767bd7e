"""Chips that are cut into instances: what a driver shows of each, derived from the chip's truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopgate_agent.counters.sample import Instance, PipeCycles

if TYPE_CHECKING:
    from flopgate_sim.world.hardware.chips import Chip

UNREADABLE, HALVES, ROOM = range(3)
"""How a chip is cut: the driver shows no instance, two that fill it, one with room beside it."""
LAYOUTS = {HALVES: ((1, 60, 50), (2, 60, 50)), ROOM: ((1, 66, 50),)}
"""Id, SMs of 132, and how much of the chip's work is done there."""
OF_SMS = 132


@dataclass(slots=True, kw_only=True)
class Part:
    """One instance, and how far the chip was when it was made.

    Attributes:
        number: its id, which another one can have later.
        sm_count: its SMs.
        percent: of the chip's work, what is done in it.
        since_us, worked_us, active_us, lost_us: of the chip at its making.
    """

    number: int
    sm_count: int
    percent: int
    since_us: int
    worked_us: int
    active_us: int
    lost_us: int


def make(chip: Chip, number: int, sm_count: int, percent: int, now_us: int) -> Part:
    """An instance whose counters begin now."""
    return Part(
        number=number,
        sm_count=max(1, sm_count * chip.spec.sm_count // OF_SMS),
        percent=percent,
        since_us=now_us,
        worked_us=chip.worked_us - chip.lost_flop_us,
        active_us=chip.active_all_us,
        lost_us=chip.lost_us,
    )


def cut(chip: Chip, layout: int, now_us: int) -> None:
    """Cut a chip anew: every instance that there was is destroyed."""
    chip.layout = layout
    chip.parts = [make(chip, *one, now_us) for one in LAYOUTS.get(layout, ())]


def renew(chip: Chip, now_us: int) -> None:
    """Destroy each instance and make one like it, with the same id, before anybody looks."""
    cut(chip, chip.layout, now_us)


def shown(chip: Chip, now_us: int) -> tuple[Instance, ...] | None:
    """What the driver shows of the instances; ``None``: nothing."""
    if not chip.mig or not chip.gpm or chip.percent or chip.layout == UNREADABLE:
        return None
    return tuple(_show(chip, part, now_us) for part in chip.parts)


def _show(chip: Chip, part: Part, now_us: int) -> Instance:
    """Summed over its SMs."""
    khz, sms = chip.spec.max_clock_khz, part.sm_count
    elapsed_us = now_us - part.since_us - (chip.lost_us - part.lost_us)
    active_us = min(elapsed_us, chip.active_all_us - part.active_us)
    worked_us = (chip.worked_us - chip.lost_flop_us - part.worked_us) * part.percent // 100
    busy = worked_us * khz * chip.spec.sm_count // (1000 * 100)
    active = max(busy, active_us * khz * sms // 1000)
    cycles = by_hmma(elapsed_us * khz * sms // 1000, active, busy)
    return Instance(id=part.number, sm_count=sms, cycles=cycles)


def by_hmma(elapsed: int, active: int, busy: int) -> PipeCycles:
    """All work of these chips is 16-bit work on the tensor pipe."""
    return PipeCycles(
        elapsed=elapsed,
        active=active,
        mma=busy,
        dmma=0,
        hmma=busy,
        imma=0,
        dfma=0,
        integer=0,
        fp64=0,
        fp32=0,
        fp16=0,
    )
