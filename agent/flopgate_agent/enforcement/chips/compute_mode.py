"""Compute mode PROHIBITED: the driver gives no process a new context.

Contexts that exist go on, computing: it starts nothing and stops nothing. A chip cut into instances
keeps DEFAULT and refuses (NVML: "changing it is not supported"). It is back at DEFAULT after a
reboot, and after the driver let the chip go. Graphics contexts are not denied by it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final


class ComputeMode:
    """See `rung.Rung`."""

    name: Final = "compute_mode"

    def probe(self, nvml: ModuleType, handle: Any) -> None:
        """Set what is set."""
        nvml.nvmlDeviceSetComputeMode(handle, nvml.nvmlDeviceGetComputeMode(handle))

    def before(self, nvml: ModuleType, handle: Any) -> int:
        """The mode."""
        return int(nvml.nvmlDeviceGetComputeMode(handle))

    def hold(self, nvml: ModuleType, handle: Any) -> None:
        """No new context."""
        nvml.nvmlDeviceSetComputeMode(handle, nvml.NVML_COMPUTEMODE_PROHIBITED)

    def in_force(self, nvml: ModuleType, handle: Any) -> bool:
        """Read it back."""
        return bool(nvml.nvmlDeviceGetComputeMode(handle) == nvml.NVML_COMPUTEMODE_PROHIBITED)

    def undo(self, nvml: ModuleType, handle: Any, before: int | None) -> None:
        """The mode of before."""
        mode = nvml.NVML_COMPUTEMODE_DEFAULT if before is None else before
        nvml.nvmlDeviceSetComputeMode(handle, mode)
