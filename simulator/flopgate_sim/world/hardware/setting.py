"""What a gate sets of its chips: production's code down to the driver's calls, and the driver.

`ChipLimits` asks, `Setter` and its rungs set, as on a real host. Instead of a process with pipes
there are events: a child takes its time, hangs where its chip hangs, and dies with its gate.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from flopgate_agent.enforcement.chips import ChipLimits, Fact, State, Wish
from flopgate_agent.enforcement.chips.child import ALL, Setter
from flopgate_agent.enforcement.chips.clocks import Clocks
from flopgate_agent.enforcement.chips.compute_mode import ComputeMode
from flopgate_agent.enforcement.chips.device_filter import DeviceFilter
from flopgate_agent.enforcement.chips.nodes import Nodes
from flopgate_agent.enforcement.chips.power import Power
from flopgate_agent.enforcement.chips.rung import Rung
from flopgate_agent.enforcement.chips.wire import decode_wishes
from flopgate_agent.gate.actions import Move
from flopgate_agent.gate_process.hand import WISHES, chip_finding
from flopgate_proto.values import Finding
from flopgate_sim.world.hardware.chips import Chip
from flopgate_sim.world.hardware.levels import BOARD_MW, LOWEST_KHZ, LOWEST_MW, PROHIBITED
from flopgate_sim.world.hardware.machine import Hardware
from flopgate_sim.world.hardware.nodes import PATTERN, WorldNodes, WorldPrograms
from flopgate_sim.world.nature.engine import US_PER_MS, US_PER_S, Engine, Event

START_US, CHIP_US = 500 * US_PER_MS, 20 * US_PER_MS
"""Until a child has the driver open, and for each chip."""
RUNGS: Final = (ComputeMode(), Clocks(wait=lambda _seconds: None), Power())
"""Those of `child.RUNGS`. A clock here changes at once or not at all: no real time may pass."""
HOLDING: Final = frozenset({Wish.DENIED, Wish.SLOWED})
TURN_MS: Final = 1_000
"""Between two looks of the gate at what its child does."""


class DriverError(Exception):
    """Stands for pynvml's ``NVMLError``."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


class Driver(ModuleType):
    """The chips of one host by pynvml's names, as far as rungs call them; a handle is a chip."""

    NVMLError = DriverError
    NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NO_PERMISSION = 3, 4
    NVML_ERROR_NOT_FOUND, NVML_ERROR_GPU_IS_LOST = 6, 15
    NVML_COMPUTEMODE_DEFAULT, NVML_COMPUTEMODE_PROHIBITED = 0, PROHIBITED
    NVML_CLOCK_SM = 1

    def __init__(self, hardware: Hardware, engine: Engine) -> None:
        super().__init__("pynvml")
        self._hardware = hardware
        self._engine = engine
        calls: dict[str, Callable[..., Any]] = {
            "nvmlDeviceGetHandleByUUID": self._handle,
            "nvmlDeviceGetMinorNumber": self._minor,
            "nvmlDeviceGetComputeMode": lambda chip: chip.compute_mode,
            "nvmlDeviceSetComputeMode": self._set_compute_mode,
            "nvmlDeviceGetSupportedMemoryClocks": lambda _chip: [1_000],
            "nvmlDeviceGetSupportedGraphicsClocks": lambda _chip, _memory: [LOWEST_KHZ // 1000],
            "nvmlDeviceSetGpuLockedClocks": lambda chip, _low, _high: self._lock(chip, locked=True),
            "nvmlDeviceResetGpuLockedClocks": lambda chip: self._lock(chip, locked=False),
            "nvmlDeviceGetClockInfo": lambda chip, _clock: chip.clock_khz // 1000,
            "nvmlDeviceGetPowerManagementLimitConstraints": lambda _chip: (LOWEST_MW, BOARD_MW),
            "nvmlDeviceGetPowerManagementDefaultLimit": lambda _chip: BOARD_MW,
            "nvmlDeviceGetPowerManagementLimit": lambda chip: chip.power_mw,
            "nvmlDeviceSetPowerManagementLimit": self._set_power,
        }
        for name, call in calls.items():
            setattr(self, name, call)

    def _handle(self, uuid: str) -> Chip:
        for chip in self._hardware.chips:
            if chip.uuid == uuid:
                if chip.lost:
                    raise DriverError(self.NVML_ERROR_GPU_IS_LOST)
                return chip
        raise DriverError(self.NVML_ERROR_NOT_FOUND)

    def of_the_host(self) -> tuple[Rung, ...]:
        """Rungs that the host keeps and not the driver, as a new child has them."""
        files, patterns = WorldNodes(self._hardware), (PATTERN,)
        programs = WorldPrograms(self._hardware)
        nobody = frozenset[int]()
        return (
            Nodes(patterns, files),
            DeviceFilter(programs, patterns, "world0", lambda: nobody, files),
        )

    def _minor(self, chip: Chip) -> int:
        return self._hardware.chips.index(chip)

    def _set_compute_mode(self, chip: Chip, mode: int) -> None:
        if chip.mig:
            raise DriverError(self.NVML_ERROR_NOT_SUPPORTED)
        chip.compute_mode = mode
        self._hardware.note_setting(chip)

    def _lock(self, chip: Chip, *, locked: bool) -> None:
        self._hardware.advance(self._engine.now_us)
        chip.lock(locked=locked)
        self._hardware.note_setting(chip)

    def _set_power(self, chip: Chip, limit_mw: int) -> None:
        self._hardware.advance(self._engine.now_us)
        chip.power_mw = limit_mw
        self._hardware.note_setting(chip)


class Records:
    """The journal of one boot, in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, int]] = {}

    def load(self, uuid: str) -> dict[str, int]:
        """What was before, by rung."""
        return dict(self._kept.get(uuid, {}))

    def save(self, uuid: str, before: dict[str, int]) -> None:
        """Replace the record as a whole."""
        self._kept[uuid] = before


class SetterChild:
    """See `enforcement.chips.client.Child`: one chip after another, up to one that hangs."""

    pid: Final = 0

    def __init__(
        self,
        engine: Engine,
        driver: Driver,
        records: Records,
        *,
        stuck_at: Callable[[str], bool],
        wake: Callable[[], None],
        closed: Callable[[str], None],
    ) -> None:
        """``stuck_at``: whether a call about this chip hangs now; ``closed``: it has closed one."""
        self._engine = engine
        self._stuck_at = stuck_at
        self._wake = wake
        self._closed = closed
        self._setter = Setter(driver, records, self._say, (*RUNGS, *driver.of_the_host()))
        self._said = b""
        self._todo: dict[str, Wish] = {}
        self._at = self._told_at = ALL
        self._gone = False
        self._starts_us = START_US
        self._event: Event | None = None

    @property
    def ended(self) -> bool:
        """A killed one is there until the call at which it hangs comes back."""
        return self._gone and not (self._event and self._stuck_at(self._at))

    def ask(self, line: bytes) -> None:
        """Begin, as soon as the driver is open."""
        self._todo = decode_wishes(line)
        takes_us, self._starts_us = self._starts_us + CHIP_US * len(self._todo), 0
        self._event = self._engine.after(takes_us, "chips", self._work)

    def said(self, bytes_max: int) -> bytes:
        """All of it: an answer is short."""
        said, self._said = self._said[:bytes_max], self._said[bytes_max:]
        return said

    def hang_up(self) -> None:
        """Whatever is not done stays undone."""
        self._gone = True
        if self._event is not None:
            self._event.cancel()

    kill = hang_up

    def wait(self, timeout_s: float) -> None:
        """Nobody waits here."""

    def _say(self, fact: Fact) -> None:
        self._said += fact.line()

    def _work(self) -> None:
        while self._todo:
            uuid = next(iter(self._todo))
            # A driver that hangs lets nobody get as far as a chip.
            self._at = ALL if self._stuck_at(ALL) and self._told_at != uuid else uuid
            if self._stuck_at(self._at):
                if self._at not in {ALL, self._told_at}:
                    self._told_at = self._at
                    self._say(Fact(uuid=self._at, rung="", state=State.BEGUN))
                self._event = self._engine.after(US_PER_S, "chips", self._work)
                return
            wish = self._todo.pop(self._at)
            self._setter.serve(self._at, wish)
            if wish in HOLDING:
                self._closed(self._at)
        self._event = None
        self._say(Fact(uuid=ALL, rung="", state=State.DONE))
        self._wake()


class ChipSetting:
    """What the gates of one host hold of its chips.

    Args:
        stuck: whether the whole host answers nobody now.
        wake: called when a child said something.

    Attributes:
        timer_ms: when the gate should turn to it next, on the host's clock.
        held: chips that this gate has closed since it started, and wants closed: it knows how they
            should stand. Of others it cannot tell whether somebody undid them or they never were
            closed.
    """

    def __init__(
        self,
        engine: Engine,
        hardware: Hardware,
        stuck: Callable[[], bool],
        wake: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._driver = Driver(hardware, engine)
        self._chips = {chip.uuid: chip for chip in hardware.chips}
        self._stuck = stuck
        self._wake = wake
        self._records = Records()
        self._limits: ChipLimits | None = None
        self.timer_ms: int | None = None
        self.held: set[str] = set()
        self._wants_closed: set[str] = set()

    def start(self) -> None:
        """A gate starts, and wants to know what would work."""
        self._limits, self.timer_ms = ChipLimits(self._spawn, self._recorded), 0
        self.held, self._wants_closed = set(), set()
        self._limits.want(self._chips, Wish.PROBE)

    def stop(self) -> None:
        """The gate is gone, and its child with it."""
        if self._limits is not None:
            self._limits.close()
            self._limits = self.timer_ms = None

    def boot(self) -> None:
        """No record of another boot counts."""
        self._records = Records()

    @property
    def idle(self) -> bool:
        """Whether all chips are as they are to be."""
        return self._limits is None or self._limits.idle

    def pending(self, uuids: tuple[str, ...]) -> bool:
        """Whether one of these chips is not yet as it is to be."""
        return self._limits is not None and self._limits.pending(uuids)

    def carry_out(self, action: Move, uuids: tuple[str, ...], now_ms: int) -> list[Finding]:
        """What production's hand does with a decision upon chips."""
        if self._limits is None:
            return []
        wish = WISHES[type(action)]
        self._limits.want(uuids, wish)
        if wish is Wish.FREE:
            self.held.difference_update(uuids)
            self._wants_closed.difference_update(uuids)
        else:
            self._wants_closed.update(uuids)
        return self.turn(now_ms)

    def turn(self, now_ms: int) -> list[Finding]:
        """Go on; what did not come true."""
        if self._limits is None:
            return []
        told = self._limits.handle_timer(now_ms)
        timer_ms = self._limits.get_timer()
        self.timer_ms = None if timer_ms is None else max(timer_ms, now_ms + TURN_MS)
        return [chip_finding(fact) for fact in told]

    def _spawn(self) -> SetterChild:
        return SetterChild(
            self._engine,
            self._driver,
            self._records,
            stuck_at=self._stuck_at,
            wake=self._wake,
            closed=self._closed,
        )

    def _closed(self, uuid: str) -> None:
        # A child that is still at what was wished before closes what is to be open by now.
        if uuid in self._wants_closed:
            self.held.add(uuid)

    def _recorded(self, uuid: str) -> object:
        return self._records.load(uuid) or None

    def _stuck_at(self, uuid: str) -> bool:
        chip = self._chips.get(uuid)
        return self._stuck() or (chip is not None and chip.hung)
