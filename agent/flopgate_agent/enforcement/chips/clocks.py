"""Clocks locked to the lowest: what computes without permission computes slowly.

It stops nothing: a tenth of the clock is a tenth of the FLOP. NVML cannot tell whether somebody had
locked clocks before, so undoing takes every lock away, an operator's own as well. A lock is gone
after a reboot, and after the driver let the chip go.
"""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from types import ModuleType
from typing import Any, Final

from flopgate_agent.enforcement.chips.rung import NoWayError

POLL_S, POLLS = 0.02, 15
"""A chip takes some milliseconds to change its clock, and an old reading is shown for 100: it has
300 in all."""


class Clocks:
    """See `rung.Rung`."""

    name: Final = "clocks"

    def __init__(self, wait: Callable[[float], object] = sleep) -> None:
        """``wait`` lets so many seconds pass."""
        self._wait = wait

    def probe(self, nvml: ModuleType, handle: Any) -> None:
        """Look whether there is a lowest clock to lock to. A lock itself cannot be tried."""
        _lowest_mhz(nvml, handle)

    def before(self, nvml: ModuleType, handle: Any) -> int:  # noqa: ARG002
        """Nothing that the driver tells."""
        return 0

    def default(self, nvml: ModuleType, handle: Any) -> int:  # noqa: ARG002
        """The same."""
        return 0

    def hold(self, nvml: ModuleType, handle: Any) -> None:
        """Lowest clock, and no higher."""
        lowest_mhz = _lowest_mhz(nvml, handle)
        nvml.nvmlDeviceSetGpuLockedClocks(handle, lowest_mhz, lowest_mhz)

    def in_force(self, nvml: ModuleType, handle: Any) -> bool:
        """Wait a moment for the clock to come down."""
        lowest_mhz = _lowest_mhz(nvml, handle)
        for _ in range(POLLS):
            if nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM) <= lowest_mhz:
                return True
            self._wait(POLL_S)
        return bool(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM) <= lowest_mhz)

    def undo(self, nvml: ModuleType, handle: Any, before: int) -> None:  # noqa: ARG002
        """Take the lock away."""
        nvml.nvmlDeviceResetGpuLockedClocks(handle)


def _lowest_mhz(nvml: ModuleType, handle: Any) -> int:
    memory = nvml.nvmlDeviceGetSupportedMemoryClocks(handle)
    graphics = nvml.nvmlDeviceGetSupportedGraphicsClocks(handle, max(memory)) if memory else []
    if not graphics:
        raise NoWayError("NO_CLOCKS_LISTED")
    return int(min(graphics))
