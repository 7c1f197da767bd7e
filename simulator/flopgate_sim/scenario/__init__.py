"""Scenarios: what a simulated cluster is made of and what befalls it, as data.

``docs/scenarios.md`` has every key of a file; nothing here runs anything.
"""

from flopgate_sim.scenario.fleet import Host, Lane, fleet
from flopgate_sim.scenario.library import find, shipped
from flopgate_sim.scenario.loader import load_scenario
from flopgate_sim.scenario.values import (
    Authorities,
    Bursty,
    Cluster,
    Communicating,
    Faults,
    GateWiring,
    Network,
    OfficerAct,
    Restarting,
    Scenario,
    Steady,
    TimedFault,
    TimedJob,
    Workload,
)

__all__ = [
    "Authorities",
    "Bursty",
    "Cluster",
    "Communicating",
    "Faults",
    "GateWiring",
    "Host",
    "Lane",
    "Network",
    "OfficerAct",
    "Restarting",
    "Scenario",
    "Steady",
    "TimedFault",
    "TimedJob",
    "Workload",
    "find",
    "fleet",
    "load_scenario",
    "shipped",
]
