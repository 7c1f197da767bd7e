"""Power limit at the lowest that the board allows: a second brake beside the clocks.

It stops nothing, and a chip that is idle or bound by memory does not feel it. The limit is back at
the board's own after a reboot, and after the driver let the chip go.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final


class Power:
    """See `rung.Rung`."""

    name: Final = "power"

    def probe(self, nvml: ModuleType, handle: Any) -> None:
        """Set what is set, where there is a lowest."""
        nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
        nvml.nvmlDeviceSetPowerManagementLimit(
            handle, nvml.nvmlDeviceGetPowerManagementLimit(handle)
        )

    def before(self, nvml: ModuleType, handle: Any) -> int | None:
        """The limit, milliwatt."""
        if self.in_force(nvml, handle):
            return None
        return int(nvml.nvmlDeviceGetPowerManagementLimit(handle))

    def default(self, nvml: ModuleType, handle: Any) -> int:
        """The board's own limit."""
        return int(nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle))

    def hold(self, nvml: ModuleType, handle: Any) -> None:
        """The board's lowest."""
        nvml.nvmlDeviceSetPowerManagementLimit(handle, _lowest_mw(nvml, handle))

    def in_force(self, nvml: ModuleType, handle: Any) -> bool:
        """Read it back."""
        limit_mw = nvml.nvmlDeviceGetPowerManagementLimit(handle)
        return bool(limit_mw <= _lowest_mw(nvml, handle))

    def undo(self, nvml: ModuleType, handle: Any, before: int) -> None:
        """The limit of before."""
        nvml.nvmlDeviceSetPowerManagementLimit(handle, before)


def _lowest_mw(nvml: ModuleType, handle: Any) -> int:
    lowest_mw, _highest_mw = nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
    return int(lowest_mw)
