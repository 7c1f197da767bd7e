"""What the gate knows of its host's topology, and when its reports tell it."""

from __future__ import annotations

from flopgate_agent.gate.findings import FindingLog
from flopgate_proto.values import Severity, Topology


class HostTopology:
    """The newest topology of this run. It leaves once, and again when it changed or is asked for.

    Attributes:
        known: ``None`` until it was read.
    """

    def __init__(self) -> None:
        self.known: Topology | None = None
        self._told = True

    def take(self, seen: Topology, findings: FindingLog) -> None:
        """It was read again."""
        if seen == self.known:
            return
        if self.known is not None:
            findings.add("topology.changed", Severity.INFO, detail=_difference(self.known, seen))
        self.known, self._told = seen, False

    def owe(self) -> None:
        """Somebody new reads the reports from here on."""
        self._told = False

    def due(self) -> Topology | None:
        """What the report that is made now tells; ``None``: as told before, or not known."""
        if self._told or self.known is None:
            return None
        self._told = True
        return self.known


def _difference(before: Topology, after: Topology) -> str:
    chips = len(set(before.chips) ^ set(after.chips))
    ports = len(set(before.ports) ^ set(after.ports))
    return f"entries that came or went: chips={chips} ports={ports}"
