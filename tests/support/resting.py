"""How long a GPU stood without work."""

from __future__ import annotations

from flopgate_sim.nvml import Truth


def rested_ms(before: Truth, after: Truth) -> float:
    """Time without a kernel between two looks at one GPU, by the hardware's own clock."""
    active_ms = (after.kernel_active_ns - before.kernel_active_ns) / 1e6
    return after.at_ms - before.at_ms - active_ms
