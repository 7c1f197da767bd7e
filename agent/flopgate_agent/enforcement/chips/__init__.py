"""Rungs that the driver keeps for each chip: compute mode, locked clocks, power limit.

They are set by a child that ends (`child`), since a setter of NVML can hang in the kernel like any
other call; the gate holds only what it wants of each chip (`client`).
"""

from flopgate_agent.enforcement.chips.client import ChipLimits
from flopgate_agent.enforcement.chips.process import SetterProcess, chip_limits
from flopgate_agent.enforcement.chips.wire import Fact, State, Wish

__all__ = ["ChipLimits", "Fact", "SetterProcess", "State", "Wish", "chip_limits"]
