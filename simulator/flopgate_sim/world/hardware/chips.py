"""Accelerators that keep the truth: what really ran, whatever anybody was told.

Truth is in world time and in the chip's own clock cycles. What a driver would show is derived from
it, and can be made to lie; the truth cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flopgate_agent.enforcement.bpf import Program
from flopgate_proto.chips import ChipSpec
from flopgate_sim.world.hardware import cutting
from flopgate_sim.world.hardware.levels import (
    ANYBODY,
    BOARD_MW,
    BUSY_MW,
    IDLE_MW,
    LOWEST_KHZ,
    PROHIBITED,
)


@dataclass(slots=True, kw_only=True, eq=False)
class Chip:
    """One accelerator.

    Attributes:
        spec: what it is made of; its clock runs at the highest.
        gpm: whether the driver shows what the pipes do.
        percent: whether it shows only percentages of it, and no cycle counters.
        worked_us: busy time of compute pipes since the world began, times percent.
        active_us: time with any kernel on it since the last sample.
        last_work_us: last moment at which a compute pipe was busy, 0 before the first.
        lost: off the bus.
        hung: calls hang there, so no sampler asks it.
        mig: cut into instances, whose work is in no counter of the whole chip.
        layout, parts: how it is cut (`cutting`), and its instances.
        reloaded: the driver was loaded anew: a handle from before gives one error. One that is
            opened after it tells nothing of it.
        counted_us: since when the driver counts; a reload starts anew.
        jump_cycles: what a lying or broken driver adds to every counter.
        bent: the driver shows no kernel and no power of it either: it lies in all it says.
        hidden_us, hidden_active_us: busy and active time that the driver does not show, from
            ``hiding`` (it lies) or ``mig`` on.
        compute_mode, locked, power_mw: what the driver keeps of it; clocks are locked to the
            lowest. A power limit costs nothing here but watts.
        own_mw: the power limit that its operator set.
        node, own_node: mode and owner of its device node, and as its operator set them.
        programs: what the kernel asks before somebody opens it; all of them close it.
        reset: it started anew since, so that its operator may find it as the board has it.
        open_us: since when nothing keeps a gate from setting it, and nobody undid what it set.
        lost_us, lost_active_us, lost_worked_us: what a lock took off the times that counters of
            cycles show.
        lost_flop_us: what it took off ``worked_us``, since the world began.
    """

    uuid: str
    spec: ChipSpec
    gpm: bool
    percent: bool = False
    worked_us: int = 0
    active_us: int = 0
    last_work_us: int = 0
    lost: bool = False
    hung: bool = False
    mig: bool = False
    layout: int = cutting.UNREADABLE
    parts: list[cutting.Part] = field(default_factory=list)
    reloaded: bool = False
    counted_us: int = 0
    worked_before_us: int = 0
    active_all_us: int = 0
    active_before_us: int = 0
    jump_cycles: int = 0
    hiding: bool = False
    bent: bool = False
    hidden_us: int = 0
    hidden_active_us: int = 0
    energy_uj: int = 0
    window_ms: int | None = None
    window_worked_us: int = 0
    window_active_us: int = 0
    window_now_us: int = 0
    shared_us: tuple[int, int, int] = (0, 0, 0)
    compute_mode: int = 0
    locked: bool = False
    power_mw: int = BOARD_MW
    own_mw: int = BOARD_MW
    node: tuple[int, int, int] = ANYBODY
    own_node: tuple[int, int, int] = ANYBODY
    programs: tuple[Program, ...] = ()
    reset: bool = False
    open_us: int = 0
    clock_khz: int = 0
    high_khz: int = 0
    low_khz: int = 0
    lost_us: int = 0
    lost_active_us: int = 0
    lost_worked_us: int = 0
    lost_flop_us: int = 0

    def __post_init__(self) -> None:
        """It starts at its highest clock."""
        self.clock_khz = self.high_khz = self.low_khz = self.spec.max_clock_khz
        self.power_mw, self.node = self.own_mw, self.own_node

    @property
    def barred(self) -> bool:
        """Whether no process of a user gets a new context."""
        return self.compute_mode == PROHIBITED or not self.node[0] or bool(self.programs)

    @property
    def restored(self) -> bool:
        """Whether it is set as its operator had it."""
        if self.locked or self.compute_mode or self.programs or self.node != self.own_node:
            return False
        return self.power_mw == self.own_mw or (self.reset and self.power_mw == BOARD_MW)

    def lock(self, *, locked: bool) -> None:
        """The clock goes to the lowest, or back to the highest; time must have passed up to now."""
        self.locked = locked
        self.clock_khz = LOWEST_KHZ if locked else self.spec.max_clock_khz
        self.high_khz = max(self.high_khz, self.clock_khz)
        self.low_khz = min(self.low_khz, self.clock_khz)

    def work(self, span_us: int, busy_us: int, worked_us: int) -> None:
        """Some time with kernels on it; two processes share what one chip can do."""
        shown_us = 0 if self.bent else busy_us
        self.active_us += shown_us
        self.active_all_us += busy_us
        self.worked_us += worked_us
        if self.hiding or self.mig:
            self.hidden_us += worked_us
            self.hidden_active_us += busy_us
        slow = self.power_mw < BUSY_MW
        busy_mw = self.power_mw if slow else BUSY_MW
        self.energy_uj += (shown_us * busy_mw + (span_us - shown_us) * IDLE_MW) // 1000

    def lose(self, span_us: int, active_us: int, worked_us: int) -> None:
        """What a locked clock takes off some time, kernels and work in it."""
        most_khz = self.spec.max_clock_khz
        less_khz = most_khz - self.clock_khz
        self.lost_us += span_us * less_khz // most_khz
        self.lost_flop_us += worked_us * less_khz // most_khz
        if not (self.hiding or self.mig):
            self.lost_active_us += active_us * less_khz // most_khz
            self.lost_worked_us += worked_us * less_khz // most_khz

    def flop(self) -> int:
        """What it really executed, at the 16-bit rate."""
        spec = self.spec
        cycles = (self.worked_us - self.lost_flop_us) * spec.max_clock_khz // (1000 * 100)
        return cycles * spec.sm_count * spec.rates.half_tensor
