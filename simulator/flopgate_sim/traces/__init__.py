"""Recorded clusters: a reader of the public "openb" trace format, and its way into a scenario.

The format is that of Alibaba's GPU cluster trace of 2023; ``docs/scenarios.md`` tells what is taken
from it, and what is assumed where it is silent.
"""

from flopgate_sim.traces.mapping import to_scenario
from flopgate_sim.traces.models import PROFILE_OF, UNKNOWN_MODEL
from flopgate_sim.traces.placement import Placed, Placement, place
from flopgate_sim.traces.reader import Node, Pod, Trace, load_trace

__all__ = [
    "PROFILE_OF",
    "UNKNOWN_MODEL",
    "Node",
    "Placed",
    "Placement",
    "Pod",
    "Trace",
    "load_trace",
    "place",
    "to_scenario",
]
