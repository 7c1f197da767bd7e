"""The hand that stops accelerators: freeze, thaw, kill and notify the processes of a lane.

The gate's core decides; nothing here does. ``Enforcer`` is the only door.
"""

from flopgate_agent.enforcement.devices import DeviceHolders, device_holders
from flopgate_agent.enforcement.enforcer import AdoptedLane, Enforcer
from flopgate_agent.enforcement.outcome import (
    Action,
    Capabilities,
    EnforcementFinding,
    FindingId,
    Mechanism,
    Outcome,
)
from flopgate_agent.enforcement.probing import EnforcerConfig
from flopgate_agent.enforcement.processes import ProcessId

__all__ = [
    "Action",
    "AdoptedLane",
    "Capabilities",
    "DeviceHolders",
    "EnforcementFinding",
    "Enforcer",
    "EnforcerConfig",
    "FindingId",
    "Mechanism",
    "Outcome",
    "ProcessId",
    "device_holders",
]
