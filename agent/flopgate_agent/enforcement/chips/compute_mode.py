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

    def before(self, nvml: ModuleType, handle: Any) -> int | None:
        """The mode."""
        if self.in_force(nvml, handle):
            return None
        return int(nvml.nvmlDeviceGetComputeMode(handle))

    def default(self, nvml: ModuleType, handle: Any) -> int:  # noqa: ARG002
        """Any process may make a context."""
        return int(nvml.NVML_COMPUTEMODE_DEFAULT)

    def hold(self, nvml: ModuleType, handle: Any) -> None:
        """No new context."""
        nvml.nvmlDeviceSetComputeMode(handle, nvml.NVML_COMPUTEMODE_PROHIBITED)

    def in_force(self, nvml: ModuleType, handle: Any) -> bool:
        """Read it back."""
        return bool(nvml.nvmlDeviceGetComputeMode(handle) == nvml.NVML_COMPUTEMODE_PROHIBITED)

    def undo(self, nvml: ModuleType, handle: Any, before: int) -> None:
        """The mode of before."""
        # A chip that was cut into instances meanwhile has it, and refuses to be set.
        if nvml.nvmlDeviceGetComputeMode(handle) != before:
            nvml.nvmlDeviceSetComputeMode(handle, before)
