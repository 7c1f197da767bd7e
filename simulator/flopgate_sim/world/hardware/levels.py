"""How chips of the world can be set, by their operator and by a gate."""

from __future__ import annotations

IDLE_MW, BUSY_MW = 70_000, 650_000
LOWEST_KHZ = 210_000
BOARD_MW, OWN_MW, LOWEST_MW = 700_000, 600_000, 200_000
"""Power limits: the board's own, what an operator set on every second chip, the lowest."""
ANYBODY, GROUP = (0o666, 0, 0), (0o660, 0, 44)
"""Of device nodes: as the driver makes them, and as some operators do."""
PROHIBITED = 2
"""NVML's compute mode in which the driver gives no process a new context."""
